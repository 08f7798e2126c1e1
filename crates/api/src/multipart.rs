//! Fields of a form that was sent as `multipart/form-data` (RFC 7578), as `curl -F` sends it. As in Go, files
//! among them are passed over.

/// The most bytes of a boundary.
const BOUNDARY_MAX_BYTES: usize = 70;

/// The boundary, if that is the form's type.
pub(crate) fn boundary(content_type: &str) -> Option<&str> {
    let mut parts = content_type.split(';').map(str::trim);
    if !parts.next()?.eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let (_, value) =
        parts.filter_map(|p| p.split_once('=')).find(|(k, _)| k.eq_ignore_ascii_case("boundary"))?;
    let value = value.trim_matches('"');
    (1..=BOUNDARY_MAX_BYTES).contains(&value.len()).then_some(value)
}

/// The fields in their order. None where the body is no such form, or ends before it does.
pub(crate) fn fields(body: &[u8], boundary: &str) -> Option<Vec<(String, String)>> {
    let delimiter = format!("\r\n--{boundary}");
    let delimiter = delimiter.as_bytes();
    // The first one may stand at the very beginning.
    let mut rest = match body.strip_prefix(&delimiter[2..]) {
        Some(rest) => rest,
        None => &body[find(body, delimiter)? + delimiter.len()..],
    };
    let mut all = Vec::new();
    while !rest.starts_with(b"--") {
        let line_end = find(rest, b"\r\n")?;
        if !rest[..line_end].iter().all(|b| matches!(b, b' ' | b'\t')) {
            return None;
        }
        // A part without any head begins with the empty line.
        let part = &rest[line_end..];
        let head_end = find(part, b"\r\n\r\n")?;
        let content = &part[head_end + 4..];
        // What has no content has its delimiter right behind the empty line.
        let (content, behind) = match content.strip_prefix(&delimiter[2..]) {
            Some(behind) => (&content[..0], behind),
            None => {
                let end = find(content, delimiter)?;
                (&content[..end], &content[end + delimiter.len()..])
            }
        };
        if let Some(name) = field_name(&String::from_utf8_lossy(&part[..head_end])) {
            all.push((name, String::from_utf8_lossy(content).into_owned()));
        }
        rest = behind;
    }
    Some(all)
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, what)
}

/// The name of the field that has this head; none of a file, and of what is no field.
fn field_name(head: &str) -> Option<String> {
    let value = head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
    })?;
    let mut rest = value.trim().strip_prefix("form-data")?;
    let mut name = None;
    while let Some((key, behind)) = rest.trim_start_matches([';', ' ', '\t']).split_once('=') {
        let (value, behind) = parameter(behind)?;
        match key.trim().to_ascii_lowercase().as_str() {
            "name" => name = Some(value),
            "filename" | "filename*" => return None,
            _ => {}
        }
        rest = behind;
    }
    name
}

/// A parameter's value, quoted or not, and what stands behind it.
fn parameter(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(';').unwrap_or(text.len());
        return Some((text[..end].trim().to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boundaries_are_read_from_the_type() {
        for (content_type, found) in [
            ("multipart/form-data; boundary=abc", Some("abc")),
            ("Multipart/Form-Data;charset=utf-8;Boundary=\"a b\"", Some("a b")),
            ("multipart/form-data", None),
            ("multipart/form-data; boundary=", None),
            ("multipart/mixed; boundary=abc", None),
            ("application/x-www-form-urlencoded", None),
        ] {
            assert_eq!(boundary(content_type), found, "{content_type}");
        }
        assert_eq!(boundary(&format!("multipart/form-data; boundary={}", "x".repeat(71))), None);
    }

    const FORM: &str = "preamble\r\n--B\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\nup\r\n-\r\n\
        --B \r\n\
        content-type: text/plain\r\nContent-disposition: form-data; name=\"a\\\"b\"; x=y\r\n\r\n\r\n--B\r\n\
        Content-Disposition: form-data; name=\"f\"; filename=\"f.txt\"\r\n\r\nfile\r\n--B\r\n\
        Content-Disposition: form-data; name=match[]\r\n\r\n--B\r\n\r\nnameless\r\n--B--\r\nepilogue";

    #[test]
    fn fields_are_read_and_files_passed_over() {
        let expected = [("query", "up\r\n-"), ("a\"b", ""), ("match[]", "")];
        let expected = expected.map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(fields(FORM.as_bytes(), "B").unwrap(), expected);
        assert_eq!(fields(b"--B--", "B").unwrap(), []);
        for wrong in ["", "--C--", "--B", "--B\r\n", "--Bx\r\n\r\nv\r\n--B--", "query=up"] {
            assert_eq!(fields(wrong.as_bytes(), "B"), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_form_that_is_cut_off_is_none() {
        let end = FORM.rfind("--\r\nepilogue").unwrap();
        for at in 0..end + 2 {
            assert_eq!(fields(&FORM.as_bytes()[..at], "B"), None, "cut at {at}");
        }
        // Whatever a byte becomes, nothing is read beyond the end.
        for at in 0..FORM.len() {
            for byte in [0, b'\r', b'\n', b'"', b'\\', b'-', 0xff] {
                let mut body = FORM.as_bytes().to_vec();
                body[at] = byte;
                let _form_or_none = fields(&body, "B");
            }
        }
    }
}
