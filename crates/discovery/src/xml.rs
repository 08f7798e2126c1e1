//! `Xml`: an answer in XML that is read as far as it goes. What is not there reads as nothing, as with
//! `json`.

use crate::{error::SourceError, limits::XML_NODES_MAX};
use roxmltree::{Document, Node, ParsingOptions};

/// A part of an answer, or nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Xml<'a>(Option<Node<'a, 'a>>);

/// Reads a whole answer. `what` is called so in errors. Definitions of types are refused.
pub(crate) fn document<'a>(text: &'a str, what: &str) -> Result<Document<'a>, SourceError> {
    let options = ParsingOptions { nodes_limit: XML_NODES_MAX, ..ParsingOptions::default() };
    Document::parse_with_options(text, options)
        .map_err(|e| SourceError::content(what, &format!("no XML: {e}")))
}

impl<'a> Xml<'a> {
    /// The outermost element.
    pub(crate) fn root(document: &'a Document<'a>) -> Self {
        Self(Some(document.root_element()))
    }

    /// The first element of this name within.
    pub(crate) fn get(self, name: &str) -> Self {
        Self(self.elements().find(|one| one.is(name)).and_then(|one| one.0))
    }

    /// What stands below names, from the outside in.
    pub(crate) fn at(self, path: &[&str]) -> Self {
        path.iter().fold(self, |part, name| part.get(name))
    }

    /// Whether anything stands there.
    pub(crate) fn is_there(self) -> bool {
        self.0.is_some()
    }

    /// Whether this is an element of this name.
    pub(crate) fn is(self, name: &str) -> bool {
        self.0.is_some_and(|node| node.tag_name().name() == name)
    }

    /// Its name.
    pub(crate) fn name(self) -> &'a str {
        self.0.map_or("", |node| node.tag_name().name())
    }

    /// Its text; empty where there is none.
    pub(crate) fn as_text(self) -> &'a str {
        self.0.and_then(|node| node.text()).unwrap_or_default()
    }

    /// The text of the first element of this name.
    pub(crate) fn text(self, name: &str) -> &'a str {
        self.get(name).as_text()
    }

    /// The elements within.
    pub(crate) fn elements(self) -> impl Iterator<Item = Self> {
        let nodes = self.0.into_iter().flat_map(|node| node.children());
        nodes.filter(Node::is_element).map(|node| Self(Some(node)))
    }

    /// The elements within the first one of this name: the parts of a list.
    pub(crate) fn list(self, name: &str) -> impl Iterator<Item = Self> {
        self.get(name).elements()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_reads_as_nothing() {
        let text = "<r xmlns='x'><a><b>1</b></a><l><item>2</item><item/></l></r>";
        let document = document(text, "here").unwrap();
        let root = Xml::root(&document);
        assert_eq!((root.at(&["a", "b"]).as_text(), root.text("z"), root.name()), ("1", "", "r"));
        assert_eq!(root.list("l").map(Xml::as_text).collect::<Vec<_>>(), ["2", ""]);
        assert!(!root.at(&["z", "y"]).is_there());
    }

    #[test]
    fn definitions_are_refused() {
        let bomb = "<!DOCTYPE r [<!ENTITY a 'aa'>]><r>&a;</r>";
        let error = document(bomb, "here").unwrap_err().to_string();
        assert!(error.starts_with("here: no XML"), "{error}");
    }
}
