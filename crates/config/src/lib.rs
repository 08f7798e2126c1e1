//! The configuration file: read strictly, composed from each part's own structs.
