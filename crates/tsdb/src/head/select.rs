//! The head's registry as a source of postings (`select`). New series and, behind them, appenders wait for
//! the locks of the registry. So none is held for more than one call, which looks at one stride of values or
//! series, and never two of them. Between two calls series come and go, but none that the asking view sees:
//! those were there with a sample before it.

use super::{registry::Registry, series::SeriesIndex};
use crate::select::{Extent, Listed, PostingsSource, STRIDE, Stride, Walk, retain_in_any};
use skopos_storage::QueryError;

impl PostingsSource for Registry {
    fn all(&self) -> Result<Vec<u32>, QueryError> {
        Ok(self.postings().all().to_vec())
    }

    fn extent(&self, name: &str) -> Result<Option<Extent>, QueryError> {
        let postings = self.postings();
        Ok(postings.values(name).map(|v| Extent { values: v.len(), series: v.series() }))
    }

    fn len_of(&self, name: &str, value: &str) -> Result<usize, QueryError> {
        Ok(self.postings().values(name).map_or(0, |values| values.get(value).len()))
    }

    fn add_values(&self, name: &str, values: &[String], out: &mut Vec<u32>) -> Result<usize, QueryError> {
        let postings = self.postings();
        let Some(all) = postings.values(name) else { return Ok(0) };
        let mut lists = 0;
        for value in values {
            let list = all.get(value);
            out.extend_from_slice(list);
            lists += usize::from(!list.is_empty());
        }
        Ok(lists)
    }

    fn add_wanted(
        &self,
        walk: Walk<'_>,
        wanted: impl Fn(&str) -> bool,
        out: &mut Vec<u32>,
    ) -> Result<Stride, QueryError> {
        let postings = self.postings();
        let Some(all) = postings.values(walk.name) else { return Ok(Stride::default()) };
        let (mut lists, mut last) = (0, None);
        for (value, list) in all.with_prefix(walk.prefix, walk.after).take(STRIDE) {
            last = Some(value);
            if wanted(value) {
                out.extend_from_slice(list);
                lists += 1;
            }
        }
        Ok(Stride { lists, last: last.map(Box::from) })
    }

    fn retain_wanted(
        &self,
        name: &str,
        wanted: impl Fn(&str) -> bool,
        part: &mut Vec<u32>,
    ) -> Result<(), QueryError> {
        let table = self.table();
        part.retain(|id| table.get(SeriesIndex(*id)).is_some_and(|s| wanted(s.labels.value(name))));
        Ok(())
    }

    fn retain_listed(
        &self,
        name: &str,
        values: &[String],
        listed: Listed,
        part: &mut Vec<u32>,
    ) -> Result<(), QueryError> {
        let postings = self.postings();
        let all = postings.values(name);
        let list = |v: &String| all.map_or(&[][..], |all| all.get(v));
        let mut lists: Vec<&[u32]> = values.iter().map(list).collect();
        retain_in_any(part, &mut lists, listed == Listed::InAny);
        Ok(())
    }
}
