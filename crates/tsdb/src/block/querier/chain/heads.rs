//! `Heads`: the series that the links of a chain have next. Reads nothing.
//!
//! Mostly all links have the same series, and then there is one entry, which costs one look at two equal
//! texts a link. Where each has others it is found by halving.

use skopos_model::Labels;

/// The next series of each link that has one.
#[derive(Debug, Default)]
pub(super) struct Heads {
    /// The least last.
    waiting: Vec<Head>,
    /// Kept for their memory.
    spare: Vec<Vec<usize>>,
}

#[derive(Debug)]
struct Head {
    labels: Labels,
    /// The links that have it, in any order.
    links: Vec<usize>,
}

impl Heads {
    /// Says that the link has this series next.
    pub(super) fn add(&mut self, labels: &Labels, link: usize) {
        // Whether texts are equal is soon known.
        if let Some(least) = self.waiting.last_mut().filter(|least| least.labels == *labels) {
            least.links.push(link);
            return;
        }
        match self.waiting.binary_search_by(|head| labels.cmp(&head.labels)) {
            Ok(at) => self.waiting[at].links.push(link),
            Err(at) => {
                let mut links = self.spare.pop().unwrap_or_default();
                links.push(link);
                self.waiting.insert(at, Head { labels: labels.clone(), links });
            }
        }
    }

    /// Takes the least series, and puts the links that have it into `links` in their order.
    pub(super) fn take_least(&mut self, links: &mut Vec<usize>) -> Option<Labels> {
        links.clear();
        let Head { labels, links: mut having } = self.waiting.pop()?;
        links.append(&mut having);
        links.sort_unstable();
        self.spare.push(having);
        Some(labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skopos_base::{rng::Rng, sim::effort};
    use std::collections::BTreeMap;

    fn labels(i: u64) -> Labels {
        Labels::from_pairs([("i", format!("{i:03}"))])
    }

    #[test]
    fn each_series_comes_once_in_order_with_the_links_that_have_it() {
        for seed in 0..50 {
            println!("seed {seed}");
            let rng = Rng::from_seed(effort::seed(seed));
            let (links, of) = (1 + rng.below(60) as usize, 1 + rng.below(30));
            let mut left: Vec<Vec<u64>> =
                (0..links).map(|_| (0..of).rev().filter(|_| rng.below(3) > 0).collect()).collect();
            let mut expected: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
            for (link, series) in left.iter().enumerate() {
                series.iter().for_each(|i| expected.entry(*i).or_default().push(link));
            }
            let (mut heads, mut having) = (Heads::default(), Vec::new());
            let mut found = Vec::new();
            let mut behind: Vec<usize> = (0..links).collect();
            loop {
                for link in behind.drain(..) {
                    if let Some(i) = left[link].pop() {
                        heads.add(&labels(i), link);
                    }
                }
                let Some(least) = heads.take_least(&mut having) else { break };
                found.push((least, having.clone()));
                behind.extend_from_slice(&having);
            }
            let expected: Vec<_> = expected.into_iter().map(|(i, links)| (labels(i), links)).collect();
            assert_eq!(found, expected);
        }
    }
}
