//! What of the language is allowed: the parts that Prometheus has behind `--enable-feature`, by the names
//! that they have there. Reads nothing.

/// Which experimental parts of the language are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseOptions {
    /// `promql-experimental-functions`
    pub experimental_functions: bool,
    /// `promql-duration-expr`: arithmetic in ranges, steps and offsets.
    pub duration_expressions: bool,
    /// `promql-extended-range-selectors`: `anchored` and `smoothed`.
    pub extended_range_selectors: bool,
    /// `promql-binop-fill-modifiers`: `fill`, `fill_left` and `fill_right`.
    pub fill_modifiers: bool,
}

impl ParseOptions {
    /// Everything is allowed.
    pub const ALL: Self = Self {
        experimental_functions: true,
        duration_expressions: true,
        extended_range_selectors: true,
        fill_modifiers: true,
    };
    /// What is allowed where no feature is enabled.
    pub const STABLE: Self = Self {
        experimental_functions: false,
        duration_expressions: true,
        extended_range_selectors: false,
        fill_modifiers: false,
    };

    /// Allows what the feature `name` enables. False when it is no feature of the parser's.
    pub fn enable(&mut self, name: &str) -> bool {
        let option = match name {
            "promql-experimental-functions" => &mut self.experimental_functions,
            "promql-duration-expr" => &mut self.duration_expressions,
            "promql-extended-range-selectors" => &mut self.extended_range_selectors,
            "promql-binop-fill-modifiers" => &mut self.fill_modifiers,
            _ => return false,
        };
        *option = true;
        true
    }
}

impl Default for ParseOptions {
    fn default() -> Self {
        Self::STABLE
    }
}
