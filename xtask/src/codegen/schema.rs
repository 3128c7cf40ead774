//! Reading the schema files. Their form, one line a field:
//!
//! ```text
//! api 0 Produce versions 3-13 flexible 9+        or: record GroupMetadataKey versions 0 ...
//! request                                        then fields; then `response` and its fields
//!   name TYPE VERSIONS [nullable VERSIONS] [tag N VERSIONS] [default X] [ignorable]
//!   struct Name                                  a structure that several fields share
//! ```
//!
//! Indentation makes a field part of the structure above it.

/// A closed range of versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Versions {
    pub(super) min: i16,
    pub(super) max: i16,
}

impl Versions {
    fn parse(text: &str) -> Option<Self> {
        if let Some(from) = text.strip_suffix('+') {
            return Some(Self { min: from.parse().ok()?, max: i16::MAX });
        }
        match text.split_once('-') {
            Some((min, max)) => Some(Self { min: min.parse().ok()?, max: max.parse().ok()? }),
            None => text.parse().ok().map(|only| Self { min: only, max: only }),
        }
    }

    pub(super) fn covers(self, other: Self) -> bool {
        self.min <= other.min && other.max <= self.max
    }

    pub(super) fn meets(self, other: Self) -> bool {
        self.min <= other.max && other.min <= self.max
    }
}

/// Type of a field, or of the elements of an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Type {
    Primitive(&'static str),
    Text,
    Bytes,
    Records,
    Struct(String),
    Array(Box<Type>),
}

const PRIMITIVES: [&str; 7] = ["bool", "int8", "int16", "int32", "uint32", "int64", "uuid"];

fn parse_type(text: &str) -> Type {
    if let Some(element) = text.strip_prefix("[]") {
        return Type::Array(Box::new(parse_type(element)));
    }
    match text {
        "string" => Type::Text,
        "bytes" => Type::Bytes,
        "records" => Type::Records,
        other => PRIMITIVES
            .iter()
            .find(|name| **name == other)
            .map_or_else(|| Type::Struct(other.to_owned()), |name| Type::Primitive(name)),
    }
}

#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) ty: Type,
    pub(super) versions: Versions,
    pub(super) nullable: Option<Versions>,
    pub(super) tag: Option<u32>,
    pub(super) default: Option<String>,
    pub(super) ignorable: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Struct {
    pub(super) name: String,
    pub(super) fields: Vec<Field>,
}

#[derive(Debug)]
pub(super) struct Message {
    pub(super) module: String,
    pub(super) name: String,
    /// The key of an API; `None` for a record.
    pub(super) key: Option<i16>,
    pub(super) versions: Versions,
    pub(super) flexible: Option<i16>,
    /// The structures in the order in which they are declared; outermost first.
    pub(super) structs: Vec<Struct>,
}

/// Reads one schema file; an error starts with its line.
pub(super) fn parse(module: &str, text: &str) -> Result<Message, String> {
    let mut lines = text.lines().enumerate();
    let (_, head) = lines.next().ok_or("1: empty schema")?;
    let mut message = parse_head(module, head).ok_or("1: expected api or record")?;
    // Names of the structures that enclose the current line, outermost first.
    let mut path: Vec<String> = Vec::new();
    if message.key.is_none() {
        let name = message_name(&message, "");
        open(&mut message, &mut path, 0, name)?;
    }
    for (index, line) in lines {
        let depth = (line.len() - line.trim_start().len()) / 2;
        let words: Vec<&str> = line.split_whitespace().collect();
        let result = match words.as_slice() {
            ["request"] => {
                let name = message_name(&message, "Request");
                open(&mut message, &mut path, 0, name)
            }
            ["response"] => {
                let name = message_name(&message, "Response");
                open(&mut message, &mut path, 0, name)
            }
            ["struct", name] => reopen(&mut message, &mut path, depth, (*name).to_owned()),
            [name, ty, versions, rest @ ..] => {
                let field = parse_field(name, ty, versions, rest);
                field.and_then(|field| add(&mut message, &mut path, depth, field))
            }
            _ => Err("expected a field".to_owned()),
        };
        result.map_err(|error| format!("{}: {error}", index + 1))?;
    }
    Ok(message)
}

fn parse_head(module: &str, head: &str) -> Option<Message> {
    let words: Vec<&str> = head.split_whitespace().collect();
    let (key, name, rest) = match words.as_slice() {
        ["api", key, name, rest @ ..] => (Some(key.parse().ok()?), name, rest),
        ["record", name, rest @ ..] => (None, name, rest),
        _ => return None,
    };
    let ["versions", versions, "flexible", flexible] = rest else {
        return None;
    };
    Some(Message {
        module: module.to_owned(),
        name: (*name).to_owned(),
        key,
        versions: Versions::parse(versions)?,
        flexible: Versions::parse(flexible).map(|range| range.min),
        structs: Vec::new(),
    })
}

fn message_name(message: &Message, suffix: &str) -> String {
    format!("{}{suffix}", message.name)
}

fn open(
    message: &mut Message,
    path: &mut Vec<String>,
    depth: usize,
    name: String,
) -> Result<(), String> {
    if message.structs.iter().any(|known| known.name == name) {
        return Err(format!("structure {name} is declared twice"));
    }
    path.truncate(depth);
    path.push(name.clone());
    message.structs.push(Struct { name, fields: Vec::new() });
    Ok(())
}

/// A shared structure may have been named by a field before it is declared.
fn reopen(
    message: &mut Message,
    path: &mut Vec<String>,
    depth: usize,
    name: String,
) -> Result<(), String> {
    match message.structs.iter().find(|known| known.name == name) {
        Some(known) if known.fields.is_empty() => {
            path.truncate(depth);
            path.push(name);
            Ok(())
        }
        _ => open(message, path, depth, name),
    }
}

fn add(
    message: &mut Message,
    path: &mut Vec<String>,
    depth: usize,
    field: Field,
) -> Result<(), String> {
    path.truncate(depth);
    let owner = path.last().ok_or("a field outside a structure")?;
    let inner = struct_name(&field.ty).map(str::to_owned);
    let owner = message.structs.iter_mut().find(|known| known.name == *owner);
    owner.ok_or("a field of an unknown structure")?.fields.push(field);
    // Fields that follow deeper belong to this field's structure, unless it is a shared one.
    if let Some(name) = inner {
        path.push(name.clone());
        if message.structs.iter().all(|known| known.name != name) {
            message.structs.push(Struct { name, fields: Vec::new() });
        }
    }
    Ok(())
}

fn struct_name(ty: &Type) -> Option<&str> {
    match ty {
        Type::Struct(name) => Some(name),
        Type::Array(element) => struct_name(element),
        _ => None,
    }
}

fn parse_field(name: &str, ty: &str, versions: &str, rest: &[&str]) -> Result<Field, String> {
    let mut field = Field {
        name: name.to_owned(),
        ty: parse_type(ty),
        versions: Versions::parse(versions).ok_or("versions are malformed")?,
        nullable: None,
        tag: None,
        default: None,
        ignorable: false,
    };
    let mut words = rest.iter();
    while let Some(word) = words.next() {
        match *word {
            "nullable" => {
                let range = words.next().and_then(|text| Versions::parse(text));
                field.nullable = Some(range.ok_or("nullable needs versions")?);
            }
            "tag" => {
                let tag = words.next().and_then(|text| text.parse().ok());
                field.tag = Some(tag.ok_or("tag needs a number")?);
                let range = words.next().and_then(|text| Versions::parse(text));
                field.versions = range.ok_or("tag needs versions")?;
            }
            "default" => field.default = words.next().map(|text| (*text).to_owned()),
            "ignorable" => field.ignorable = true,
            other => return Err(format!("unknown word {other}")),
        }
    }
    Ok(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_go_to_the_structure_above_them() {
        let text = "api 9 X versions 0-2 flexible 2+\nrequest\n  a []A 0+\n    b int8 1+\n  \
                    c string 0+ nullable 1+ default null ignorable\nresponse\n  d A2 0+\n  \
                    struct A2\n    e int32 0+ default -1\n";
        let message = parse("x", text).unwrap();
        let names: Vec<_> = message.structs.iter().map(|it| it.name.as_str()).collect();
        let counts: Vec<_> = message.structs.iter().map(|it| it.fields.len()).collect();
        assert_eq!(names, ["XRequest", "A", "XResponse", "A2"]);
        assert_eq!(counts, [2, 1, 1, 1]);
        assert_eq!(message.flexible, Some(2));
    }

    #[test]
    fn a_malformed_line_is_named() {
        let error = parse("x", "api 9 X versions 0 flexible none\nrequest\n  a int8 zero\n");
        assert_eq!(error.unwrap_err(), "3: versions are malformed");
    }
}
