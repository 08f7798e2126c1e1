//! What the rules need to know of a Rust file, collected in one walk over its syntax tree: functions, paths,
//! method calls, macros, attributes and `unsafe`. Never judges: the rules do.
//!
//! Strings and comments cannot fool it, since it reads syntax and not text; inside macro calls it reads
//! tokens.

use std::collections::BTreeMap;

use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, ImplItem, Item, Meta, UseTree};

/// All that was seen in one file.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) functions: Vec<Function>,
    pub(crate) paths: Vec<Seen>,
    pub(crate) methods: Vec<Seen>,
    pub(crate) macros: Vec<Seen>,
    pub(crate) attributes: Vec<AttributeFact>,
    /// Lines on which the word `unsafe` stands.
    pub(crate) unsafe_lines: Vec<usize>,
}

/// A function with a body.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) first_line: usize,
    pub(crate) last_line: usize,
}

/// A name and where it was seen.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// A path in full (`std::time::Instant::now`, as far as the file's `use` items tell), a method's or
    /// macro's name.
    pub(crate) name: String,
    pub(crate) line: usize,
    /// Whether it is compiled for tests alone.
    pub(crate) in_test: bool,
}

/// An attribute: its path and the words among its arguments.
#[derive(Debug)]
pub(crate) struct AttributeFact {
    pub(crate) path: String,
    pub(crate) words: Vec<String>,
    pub(crate) line: usize,
}

/// Walks over `file`; `is_test` says that all of it is compiled for tests alone.
pub(crate) fn collect(file: &syn::File, is_test: bool) -> Facts {
    let mut imports = Imports::default();
    imports.visit_file(file);
    let mut walk = Walk { imports, test_depth: usize::from(is_test), facts: Facts::default() };
    walk.visit_file(file);
    let tokens = file.to_token_stream();
    walk.facts.unsafe_lines = lines_of("unsafe", tokens);
    walk.facts.unsafe_lines.dedup();
    walk.facts
}

/// Whether `attrs` say that the item is compiled for tests alone: `#[test]`, `#[cfg(test)]`, `#[cfg(all(test,
/// …))]`.
pub(crate) fn is_test_only(attrs: &[Attribute]) -> bool {
    attrs.iter().any(|attr| {
        let is_test_function = attr.path().segments.last().is_some_and(|segment| segment.ident == "test");
        is_test_function || (attr.path().is_ident("cfg") && cfg_demands_test(&attr.meta))
    })
}

fn cfg_demands_test(meta: &Meta) -> bool {
    match meta {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) if list.path.is_ident("cfg") || list.path.is_ident("all") => {
            let mut demands = false;
            let parsed = list.parse_nested_meta(|nested| {
                if nested.path.is_ident("test") {
                    demands = true;
                } else if nested.path.is_ident("all") {
                    nested.parse_nested_meta(|inner| {
                        demands |= inner.path.is_ident("test");
                        skip_arguments(&inner)
                    })?;
                } else {
                    skip_arguments(&nested)?;
                }
                Ok(())
            });
            parsed.is_ok() && demands
        }
        _ => false,
    }
}

/// Steps over `= value` or `(…)` after a name that is of no interest.
fn skip_arguments(nested: &syn::meta::ParseNestedMeta<'_>) -> syn::Result<()> {
    if nested.input.peek(syn::Token![=]) {
        nested.value()?.parse::<syn::Expr>()?;
    } else if nested.input.peek(syn::token::Paren) {
        nested.input.parse::<TokenTree>()?;
    }
    Ok(())
}

/// What the `use` items of a file bring in. Scopes are not told apart: a name counts for the whole file.
#[derive(Default)]
struct Imports {
    /// Full paths behind a local name.
    names: BTreeMap<String, Vec<String>>,
    /// Paths whose whole content is brought in.
    globs: Vec<String>,
    /// Every imported path in full, with its place.
    all: Vec<(String, Span)>,
}

impl Imports {
    fn add(&mut self, prefix: &str, tree: &UseTree) {
        let join = |name: &str| if prefix.is_empty() { name.to_owned() } else { format!("{prefix}::{name}") };
        match tree {
            UseTree::Path(path) => self.add(&join(&path.ident.to_string()), &path.tree),
            UseTree::Group(group) => group.items.iter().for_each(|item| self.add(prefix, item)),
            UseTree::Glob(glob) => {
                self.all.push((prefix.to_owned(), glob.span()));
                self.globs.push(prefix.to_owned());
            }
            UseTree::Name(name) => {
                let own = name.ident.to_string();
                // `use std::fs::{self}` names the folder itself.
                let full = if own == "self" { prefix.to_owned() } else { join(&own) };
                let local = full.rsplit("::").next().unwrap_or_default().to_owned();
                self.name(local, full, name.span());
            }
            UseTree::Rename(rename) => {
                let full = join(&rename.ident.to_string());
                let full = full.trim_end_matches("::self").to_owned();
                self.name(rename.rename.to_string(), full, rename.span());
            }
        }
    }

    fn name(&mut self, local: String, full: String, span: Span) {
        self.all.push((full.clone(), span));
        self.names.entry(local).or_default().push(full);
    }

    /// All that `path` may stand for.
    fn expand(&self, path: &str) -> Vec<String> {
        let (first, rest) = path.split_once("::").unwrap_or((path, ""));
        let tail = |full: &String| if rest.is_empty() { full.clone() } else { format!("{full}::{rest}") };
        match self.names.get(first) {
            Some(fulls) => fulls.iter().map(tail).collect(),
            None => {
                let through_globs = self.globs.iter().map(|glob| format!("{glob}::{path}"));
                std::iter::once(path.to_owned()).chain(through_globs).collect()
            }
        }
    }
}

impl<'ast> Visit<'ast> for Imports {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.add("", &item.tree);
    }
}

struct Walk {
    imports: Imports,
    test_depth: usize,
    facts: Facts,
}

impl Walk {
    fn seen(&self, name: String, span: Span) -> Seen {
        Seen { name, line: span.start().line, in_test: self.test_depth > 0 }
    }

    fn path(&mut self, path: &str, span: Span) {
        for full in self.imports.expand(path) {
            let seen = self.seen(full, span);
            self.facts.paths.push(seen);
        }
    }

    fn function(&mut self, signature: &syn::Signature, body: &syn::Block) {
        self.facts.functions.push(Function {
            name: signature.ident.to_string(),
            first_line: signature.span().start().line,
            last_line: body.brace_token.span.close().end().line,
        });
    }

    /// Reads the arguments of a macro call, where there are tokens only.
    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let punct = |at: usize, what: char| match tokens.get(at) {
            Some(TokenTree::Punct(punct)) => punct.as_char() == what,
            _ => false,
        };
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Ident(first) => {
                    let start = at;
                    let mut path = first.to_string();
                    while punct(at + 1, ':') && punct(at + 2, ':') {
                        let Some(TokenTree::Ident(next)) = tokens.get(at + 3) else { break };
                        path = format!("{path}::{next}");
                        at += 3;
                    }
                    let is_method = start > 0 && punct(start - 1, '.');
                    self.name_in_tokens(&path, first.span(), is_method, &tokens[at + 1..]);
                }
                _ => {}
            }
            at += 1;
        }
    }

    fn name_in_tokens(&mut self, path: &str, span: Span, is_method: bool, rest: &[TokenTree]) {
        let called_with_nothing = matches!(rest.first(), Some(TokenTree::Group(group))
            if group.delimiter() == Delimiter::Parenthesis && group.stream().is_empty());
        let bang = matches!(rest.first(), Some(TokenTree::Punct(punct)) if punct.as_char() == '!');
        let is_macro = bang && matches!(rest.get(1), Some(TokenTree::Group(_)));
        if is_macro {
            let name = path.rsplit("::").next().unwrap_or_default().to_owned();
            let seen = self.seen(name, span);
            self.facts.macros.push(seen);
        } else if is_method && called_with_nothing {
            let seen = self.seen(path.to_owned(), span);
            self.facts.methods.push(seen);
        } else if !is_method {
            self.path(path, span);
        }
    }
}

impl<'ast> Visit<'ast> for Walk {
    fn visit_file(&mut self, file: &'ast syn::File) {
        for (full, span) in std::mem::take(&mut self.imports.all) {
            let seen = self.seen(full, span);
            self.facts.paths.push(seen);
        }
        visit::visit_file(self, file);
    }

    fn visit_item(&mut self, item: &'ast Item) {
        let is_test = is_test_only(item_attributes(item));
        self.test_depth += usize::from(is_test);
        visit::visit_item(self, item);
        self.test_depth -= usize::from(is_test);
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let is_test = matches!(item, ImplItem::Fn(function) if is_test_only(&function.attrs));
        self.test_depth += usize::from(is_test);
        visit::visit_impl_item(self, item);
        self.test_depth -= usize::from(is_test);
    }

    // The paths of `use` items were taken from `Imports`, in full.
    fn visit_item_use(&mut self, _item: &'ast syn::ItemUse) {}

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.function(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.function(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(body) = &function.default {
            self.function(&function.sig, body);
        }
        visit::visit_trait_item_fn(self, function);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.path(&names.join("::"), path.span());
        visit::visit_path(self, path);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        if call.args.is_empty() {
            let seen = self.seen(call.method.to_string(), call.method.span());
            self.facts.methods.push(seen);
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        if let Some(last) = call.path.segments.last() {
            let seen = self.seen(last.ident.to_string(), last.span());
            self.facts.macros.push(seen);
        }
        self.tokens(call.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        let path: Vec<String> = attribute.path().segments.iter().map(|part| part.ident.to_string()).collect();
        let words = match &attribute.meta {
            Meta::List(list) => words(list.tokens.clone()),
            Meta::Path(_) | Meta::NameValue(_) => Vec::new(),
        };
        let line = attribute.span().start().line;
        self.facts.attributes.push(AttributeFact { path: path.join("::"), words, line });
    }
}

/// Lines on which the word `what` stands, at any depth and in macro calls too.
fn lines_of(what: &str, tokens: TokenStream) -> Vec<usize> {
    let mut lines = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Ident(word) if word == what => lines.push(word.span().start().line),
            TokenTree::Group(group) => lines.extend(lines_of(what, group.stream())),
            _ => {}
        }
    }
    lines
}

/// All identifiers among `tokens`, at any depth.
fn words(tokens: TokenStream) -> Vec<String> {
    let mut found = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Ident(word) => found.push(word.to_string()),
            TokenTree::Group(group) => found.extend(words(group.stream())),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
    found
}

fn item_attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(source: &str) -> Facts {
        collect(&syn::parse_file(source).unwrap(), false)
    }

    fn names(seen: &[Seen]) -> Vec<&str> {
        seen.iter().map(|one| one.name.as_str()).collect()
    }

    #[test]
    fn paths_are_expanded_through_every_form_of_import() {
        let cases = [
            ("fn f() { std::fs::read(x); }", "std::fs::read"),
            ("use std::fs; fn f() { fs::read(x); }", "std::fs::read"),
            ("use std::{fs, io}; fn f() { fs::read(x); }", "std::fs::read"),
            ("use std::fs::{self}; fn f() { fs::read(x); }", "std::fs::read"),
            ("use std::fs as disk; fn f() { disk::read(x); }", "std::fs::read"),
            ("use std::fs::read as slurp; fn f() { slurp(x); }", "std::fs::read"),
            ("use std::time::*; fn f() { Instant::now(); }", "std::time::Instant::now"),
            ("use std::time::Instant; fn f() { x.map(Instant::now); }", "std::time::Instant::now"),
            ("use std::fs; fn f() { println!(\"{:?}\", fs::read(x)); }", "std::fs::read"),
            ("use std::fs; struct S { file: fs::File }", "std::fs::File"),
        ];
        for (source, expected) in cases {
            let facts = facts(source);
            assert!(names(&facts.paths).contains(&expected), "{source}: {:?}", names(&facts.paths));
        }
    }

    #[test]
    fn strings_and_comments_are_not_code() {
        let facts =
            facts("// std::fs::read(x) unsafe\nfn f() { let s = \"std::fs::read unsafe x.unwrap()\"; }");
        assert!(names(&facts.paths).is_empty() && facts.methods.is_empty() && facts.unsafe_lines.is_empty());
    }

    #[test]
    fn methods_and_macros_are_seen_within_macro_calls() {
        let facts = facts("fn f() { assert!(x.unwrap() == y.len() && dbg!(z)); }");
        assert_eq!(names(&facts.methods), ["unwrap", "len"]);
        assert_eq!(names(&facts.macros), ["assert", "dbg"]);
    }

    #[test]
    fn code_that_only_tests_compile_is_marked() {
        let cases = [
            ("fn f() { x.unwrap(); }", false),
            ("#[test] fn f() { x.unwrap(); }", true),
            ("#[cfg(test)] mod t { fn f() { x.unwrap(); } }", true),
            ("#[cfg(all(unix, test))] mod t { fn f() { x.unwrap(); } }", true),
            ("#[cfg(all(feature = \"a\", test))] mod t { fn f() { x.unwrap(); } }", true),
            ("#[cfg(not(test))] mod t { fn f() { x.unwrap(); } }", false),
            ("#[cfg(any(test, feature = \"sim\"))] mod t { fn f() { x.unwrap(); } }", false),
            ("impl A { #[cfg(test)] fn f() { x.unwrap(); } }", true),
        ];
        for (source, expected) in cases {
            let facts = facts(source);
            assert_eq!(facts.methods[0].in_test, expected, "{source}");
        }
    }

    #[test]
    fn functions_span_from_their_signature_to_their_brace() {
        let facts = facts(
            "/// Doc.\n#[inline]\nfn f(\n    a: u8,\n) {\n}\n\ntrait T {\n    fn g() {}\n    fn h();\n}\n",
        );
        let lines: Vec<_> =
            facts.functions.iter().map(|f| (f.name.as_str(), f.first_line, f.last_line)).collect();
        assert_eq!(lines, [("f", 3, 6), ("g", 9, 9)]);
    }

    #[test]
    fn unsafe_is_found_wherever_it_stands() {
        let source = "unsafe impl Send for A {}\nunsafe fn f() {}\nfn g() {\n    unsafe { f() }\n}\n\
                      m!(unsafe { f() });";
        assert_eq!(facts(source).unsafe_lines, [1, 2, 4, 6]);
    }
}
