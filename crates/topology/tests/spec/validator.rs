//! A validator for that part of JSON Schema draft-07 that the schema of pipeline files uses.

use serde_json::{Map, Value};

use super::pattern::is_found;

/// Everything that is wrong with a document, each as `place: what`.
pub(crate) fn problems(schema: &Value, document: &Value) -> Vec<String> {
    let mut validator = Validator { root: schema, problems: Vec::new() };
    validator.check(schema, document, "");
    validator.problems
}

struct Validator<'s> {
    root: &'s Value,
    problems: Vec<String>,
}

impl Validator<'_> {
    fn report(&mut self, place: &str, what: String) {
        let place = if place.is_empty() { "the file" } else { place };
        self.problems.push(format!("{place}: {what}"));
    }

    fn holds(&self, schema: &Value, document: &Value) -> bool {
        let mut inner = Validator { root: self.root, problems: Vec::new() };
        inner.check(schema, document, "");
        inner.problems.is_empty()
    }

    fn check(&mut self, schema: &Value, document: &Value, place: &str) {
        let rules = match schema {
            Value::Bool(true) => return,
            Value::Bool(false) => return self.report(place, "nothing may stand here".to_owned()),
            _ => schema.as_object().unwrap(),
        };
        if let Some(target) = rules.get("$ref") {
            assert_eq!(rules.len(), 1, "draft-07 ignores what stands beside $ref: {schema}");
            let pointer = target.as_str().unwrap().strip_prefix('#').unwrap();
            let target = self.root.pointer(pointer);
            let target = target.unwrap_or_else(|| panic!("{pointer} leads nowhere"));
            return self.check(target, document, place);
        }
        if rules.get("type").is_some_and(|wanted| !is_of(wanted, document)) {
            return self.report(place, format!("{document} is not of type {}", rules["type"]));
        }
        for (rule, wanted) in rules {
            match rule.as_str() {
                "then" => assert!(rules.contains_key("if")),
                "else" | "if" => {}
                word => self.rule((word, wanted), document, place),
            }
        }
        if let Some(condition) = rules.get("if") {
            let branch = if self.holds(condition, document) { "then" } else { "else" };
            if let Some(branch) = rules.get(branch) {
                self.check(branch, document, place);
            }
        }
        self.fields(rules, document, place);
    }

    fn rule(&mut self, (rule, wanted): (&str, &Value), document: &Value, place: &str) {
        let size = || usize::try_from(wanted.as_u64().unwrap()).unwrap();
        let items = document.as_array();
        match rule {
            "const" if document != wanted => {
                self.report(place, format!("{document} is not {wanted}"));
            }
            "enum" if !wanted.as_array().unwrap().contains(document) => {
                self.report(place, format!("{document} is not one of {wanted}"));
            }
            "pattern" => {
                let pattern = wanted.as_str().unwrap();
                if document.as_str().is_some_and(|text| !is_found(pattern, text)) {
                    self.report(place, format!("{document} does not match {pattern}"));
                }
            }
            "minimum" if document.as_f64().is_some_and(|it| it < wanted.as_f64().unwrap()) => {
                self.report(place, format!("{document} is less than {wanted}"));
            }
            "maximum" if document.as_f64().is_some_and(|it| it > wanted.as_f64().unwrap()) => {
                self.report(place, format!("{document} is more than {wanted}"));
            }
            "minItems" if items.is_some_and(|items| items.len() < size()) => {
                self.report(place, format!("there are fewer than {wanted} items"));
            }
            "maxItems" if items.is_some_and(|items| items.len() > size()) => {
                self.report(place, format!("there are more than {wanted} items"));
            }
            "minProperties" if document.as_object().is_some_and(|it| it.len() < size()) => {
                self.report(place, format!("there are fewer than {wanted} fields"));
            }
            "items" => {
                for (at, item) in items.into_iter().flatten().enumerate() {
                    self.check(wanted, item, &format!("{place}[{at}]"));
                }
            }
            "allOf" => {
                for part in wanted.as_array().unwrap() {
                    self.check(part, document, place);
                }
            }
            "anyOf" => {
                let mut parts = wanted.as_array().unwrap().iter();
                if !parts.any(|part| self.holds(part, document)) {
                    self.report(place, "it is not valid under any of the schemas".to_owned());
                }
            }
            "const" | "enum" | "minimum" | "maximum" | "minItems" | "maxItems" => {}
            "minProperties" | "type" | "definitions" | "$schema" | "$id" => {}
            "title" | "description" | "examples" => {}
            "required" | "properties" | "patternProperties" | "additionalProperties" => {}
            "propertyNames" | "dependencies" => {}
            strange => panic!("the schema uses {strange}, which is not known here"),
        }
    }

    /// The rules for mappings.
    fn fields(&mut self, rules: &Map<String, Value>, document: &Value, place: &str) {
        let Some(fields) = document.as_object() else { return };
        let nothing = Map::new();
        let table = |rule: &str| rules.get(rule).map_or(&nothing, |it| it.as_object().unwrap());
        for name in rules.get("required").into_iter().flat_map(|it| it.as_array().unwrap()) {
            if !fields.contains_key(name.as_str().unwrap()) {
                self.report(place, format!("{name} is required"));
            }
        }
        for (name, wanted) in table("dependencies") {
            match wanted.as_array() {
                _ if !fields.contains_key(name) => {}
                None => self.check(wanted, document, place),
                Some(others) => {
                    let is_missing = |it: &&Value| !fields.contains_key(it.as_str().unwrap());
                    for other in others.iter().filter(is_missing) {
                        self.report(place, format!("{other} is required by \"{name}\""));
                    }
                }
            }
        }
        for (name, value) in fields {
            let inner = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
            if let Some(schema) = rules.get("propertyNames") {
                self.check(schema, &Value::from(name.as_str()), &inner);
            }
            let known = table("properties").get(name);
            let patterns = table("patternProperties").iter();
            let by_pattern = patterns.filter(|(it, _)| is_found(it, name)).map(|(_, it)| it);
            let schemas: Vec<&Value> = known.into_iter().chain(by_pattern).collect();
            match rules.get("additionalProperties") {
                Some(Value::Bool(false)) if schemas.is_empty() => {
                    self.report(place, format!("field \"{name}\" is not allowed"));
                }
                Some(others) if schemas.is_empty() => self.check(others, value, &inner),
                _ => {}
            }
            for schema in schemas {
                self.check(schema, value, &inner);
            }
        }
    }
}

fn is_of(wanted: &Value, document: &Value) -> bool {
    let is = |word: &Value| match word.as_str().unwrap() {
        "object" => document.is_object(),
        "array" => document.is_array(),
        "string" => document.is_string(),
        "boolean" => document.is_boolean(),
        "number" => document.is_number(),
        "integer" => document.is_u64() || document.is_i64(),
        strange => panic!("{strange} is no type"),
    };
    wanted.as_array().map_or_else(|| is(wanted), |words| words.iter().any(is))
}
