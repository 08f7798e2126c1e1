//! PromQL: parse, plan and execute over columnar series.
