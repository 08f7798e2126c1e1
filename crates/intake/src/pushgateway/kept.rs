//! The groups in a file of JSON (docs/formats/pushgateway.md): written beside and renamed, so that one or the
//! other is whole.

use super::{
    Group, Groups,
    family::{self, Form},
    page,
};
use serde::{Deserialize, Serialize};
use skopos_base::fs::{Fs, OpenMode, append_all, parent, read_all};
use skopos_model::Labels;
use std::{collections::BTreeMap, io, path::Path};

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Kept {
    version: u32,
    groups: Vec<KeptGroup>,
}

#[derive(Serialize, Deserialize)]
struct KeptGroup {
    labels: BTreeMap<String, String>,
    pushed_ms: i64,
    failed_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_ms: Option<i64>,
    /// Its metrics in the text format.
    text: String,
}

/// The groups of the file; none where there is no file.
pub(super) fn read(fs: &dyn Fs, path: &Path) -> io::Result<Groups> {
    if !fs.exists(path)? {
        return Ok(Groups::new());
    }
    let bytes = read_all(fs, path)?;
    decode(&bytes).map_err(|e| {
        let what = format!("{}: {e}; move it away to begin without groups", path.display());
        io::Error::new(io::ErrorKind::InvalidData, what)
    })
}

fn decode(bytes: &[u8]) -> Result<Groups, String> {
    let kept: Kept = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    if kept.version != VERSION {
        return Err(format!("version {} is not known", kept.version));
    }
    let groups = kept.groups.into_iter().map(|kept| {
        let labels = Labels::from_pairs(&kept.labels);
        let families = family::read(Form::Text, kept.text.as_bytes(), &labels).map_err(|e| e.to_string())?;
        let (pushed_ms, failed_ms, expires_ms) = (kept.pushed_ms, kept.failed_ms, kept.expires_ms);
        Ok((labels, Group { families, pushed_ms, failed_ms, expires_ms }))
    });
    groups.collect()
}

/// Writes the file anew.
pub(super) fn write(fs: &dyn Fs, path: &Path, groups: &Groups) -> io::Result<()> {
    let groups = groups.iter().map(|(labels, group)| {
        let mut text = Vec::new();
        page::write(&Groups::from([(labels.clone(), group.clone())]), &mut text);
        KeptGroup {
            labels: labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
            pushed_ms: group.pushed_ms,
            failed_ms: group.failed_ms,
            expires_ms: group.expires_ms,
            text: String::from_utf8(text).expect("invariant: the text format is text"),
        }
    });
    let kept = Kept { version: VERSION, groups: groups.collect() };
    let bytes = serde_json::to_vec(&kept).expect("invariant: texts and numbers serialise");
    let beside = path.with_extension("tmp");
    if fs.exists(&beside)? {
        fs.remove_file(&beside)?;
    }
    let mut file = fs.open(&beside, OpenMode::CreateNew)?;
    append_all(&mut *file, &bytes)?;
    file.sync()?;
    drop(file);
    fs.rename(&beside, path)?;
    fs.sync_dir(&parent(path))
}
