//! The forms that the help describes for `--json`, and a check that an answer has the described form.
//!
//! A form is a type, with remarks in parentheses: `text`, `number`, `boolean`, `object` (anything), `null`, a text in
//! quotes (exactly that), `[form]` (a list), `{text: form}` (any keys), `{"key": form, "other"?: form, "third"}` (these
//! keys; those with a question mark may be missing; without a form it is a text). Forms with `or` between are a choice.

use std::fmt;

/// A form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// A text.
    Text,
    /// A whole number that is not negative.
    Number,
    /// True or false.
    Boolean,
    /// Nothing.
    Null,
    /// Any object: it is described elsewhere.
    Anything,
    /// Exactly this text.
    Exactly(String),
    /// A list.
    List(Box<Form>),
    /// Any keys, with values of that form.
    Map(Box<Form>),
    /// These keys.
    Object(Vec<Field>),
    /// One of these.
    Choice(Vec<Form>),
}

/// A key of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    key: String,
    may_miss: bool,
    form: Form,
}

/// Where a text is not a valid form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoForm {
    at: String,
    expected: &'static str,
}

impl fmt::Display for NoForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {} at '{}'", self.expected, self.at)
    }
}

/// The form in the paragraph of a help text that has this title.
pub fn of_help(help: &str, title: &str) -> Option<Result<Form, NoForm>> {
    let (_, after) = help.split_once(&format!("\n{title}:\n"))?;
    let block: Vec<&str> = after.lines().take_while(|line| !line.trim().is_empty()).collect();
    Some(parse(&block.join("\n")))
}

/// Reads a form.
pub fn parse(text: &str) -> Result<Form, NoForm> {
    let mut reader = Reader { rest: text };
    let form = reader.choice()?;
    reader.skip();
    if reader.rest.is_empty() { Ok(form) } else { Err(reader.no("the end")) }
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn no(&self, expected: &'static str) -> NoForm {
        NoForm { at: self.rest.chars().take(40).collect(), expected }
    }

    /// Skips white space and remarks.
    fn skip(&mut self) {
        loop {
            self.rest = self.rest.trim_start();
            match self.rest.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
                Some((_, after)) => self.rest = after,
                None => return,
            }
        }
    }

    fn take(&mut self, token: &str) -> bool {
        self.skip();
        match self.rest.strip_prefix(token) {
            Some(after) => {
                self.rest = after;
                true
            }
            None => false,
        }
    }

    fn word(&mut self, word: &str) -> bool {
        self.skip();
        let ends = |after: &&str| !after.starts_with(|c: char| c.is_alphanumeric());
        match self.rest.strip_prefix(word).filter(ends) {
            Some(after) => {
                self.rest = after;
                true
            }
            None => false,
        }
    }

    fn choice(&mut self) -> Result<Form, NoForm> {
        let mut forms = vec![self.single()?];
        while self.word("or") {
            forms.push(self.single()?);
        }
        Ok(if forms.len() > 1 { Form::Choice(forms) } else { forms.remove(0) })
    }

    fn single(&mut self) -> Result<Form, NoForm> {
        let words = [
            ("text", Form::Text),
            ("number", Form::Number),
            ("boolean", Form::Boolean),
            ("null", Form::Null),
            ("object", Form::Anything),
        ];
        for (word, form) in words {
            if self.word(word) {
                return Ok(form);
            }
        }
        if self.take("[") {
            let form = self.choice()?;
            return if self.take("]") { Ok(Form::List(Box::new(form))) } else { Err(self.no("]")) };
        }
        if self.take("{") {
            return self.object();
        }
        if self.rest.starts_with('"') { self.quoted().map(Form::Exactly) } else { Err(self.no("a form")) }
    }

    fn quoted(&mut self) -> Result<String, NoForm> {
        if !self.take("\"") {
            return Err(self.no("a quoted text"));
        }
        let Some((text, after)) = self.rest.split_once('"') else { return Err(self.no("a closing quote")) };
        self.rest = after;
        Ok(text.to_owned())
    }

    fn object(&mut self) -> Result<Form, NoForm> {
        if self.word("text") {
            if !self.take(":") {
                return Err(self.no(":"));
            }
            let form = self.choice()?;
            return if self.take("}") { Ok(Form::Map(Box::new(form))) } else { Err(self.no("}")) };
        }
        let mut fields = Vec::new();
        loop {
            let key = self.quoted()?;
            let may_miss = self.take("?");
            let form = if self.take(":") { self.choice()? } else { Form::Text };
            fields.push(Field { key, may_miss, form });
            if self.take("}") {
                return Ok(Form::Object(fields));
            }
            if !self.take(",") {
                return Err(self.no(", or }"));
            }
        }
    }
}

impl Form {
    /// Checks that a document has this form, behind the version that every document has.
    ///
    /// # Errors
    /// Where it has not, and why.
    pub fn check_document(&self, document: &serde_json::Value) -> Result<(), String> {
        let mut rest = document.clone();
        match rest.as_object_mut().and_then(|keys| keys.remove("json_version")) {
            Some(version) if version == 3 => self.check(&rest),
            version => Err(format!("the version of the form is {version:?}")),
        }
    }

    /// Checks that a value has this form.
    ///
    /// # Errors
    /// Where it has not, and why.
    pub fn check(&self, value: &serde_json::Value) -> Result<(), String> {
        self.check_at(value, "answer")
    }

    fn check_at(&self, value: &serde_json::Value, at: &str) -> Result<(), String> {
        use serde_json::Value;
        match (self, value) {
            (Self::Anything, Value::Object(_))
            | (Self::Text, Value::String(_))
            | (Self::Boolean, Value::Bool(_))
            | (Self::Null, Value::Null) => Ok(()),
            (Self::Number, Value::Number(number)) if number.is_u64() => Ok(()),
            (Self::Exactly(text), Value::String(is)) if text == is => Ok(()),
            (Self::List(form), Value::Array(items)) => items
                .iter()
                .enumerate()
                .try_for_each(|(number, item)| form.check_at(item, &format!("{at}[{number}]"))),
            (Self::Map(form), Value::Object(map)) => {
                map.iter().try_for_each(|(key, value)| form.check_at(value, &format!("{at}.{key}")))
            }
            (Self::Object(fields), Value::Object(map)) => {
                if let Some(key) = map.keys().find(|key| !fields.iter().any(|field| field.key == **key)) {
                    return Err(format!("{at}.{key} is not in the help"));
                }
                fields.iter().try_for_each(|field| match map.get(&field.key) {
                    Some(value) => field.form.check_at(value, &format!("{at}.{}", field.key)),
                    None if field.may_miss => Ok(()),
                    None => Err(format!("{at}.{} is missing", field.key)),
                })
            }
            (Self::Choice(forms), value) => {
                let mut said = Vec::new();
                for form in forms {
                    match form.check_at(value, at) {
                        Ok(()) => return Ok(()),
                        Err(why) => said.push(why),
                    }
                }
                Err(said.join("; "))
            }
            _ => Err(format!("{at} is {value}, not {self:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const FORM: &str = "{\"kind\": \"pool\" or \"volume\", \"name\", \"size\": number (bytes) or null,\n \
                        \"list\": [{\"a\"?: boolean}], \"map\": {text: number}, \"plan\"?: object}";

    #[test]
    fn an_answer_has_the_form_or_it_is_said_where_not() {
        let form = parse(FORM).expect("it is one");
        let good =
            json!({"kind": "pool", "name": "x", "size": null, "list": [{}, {"a": true}], "map": {"b": 1}});
        assert_eq!(form.check(&good), Ok(()));
        let with = |key: &str, value: serde_json::Value| {
            let mut answer = good.clone();
            answer[key] = value;
            form.check(&answer).expect_err("it is wrong")
        };
        assert!(with("kind", json!("vg")).contains("answer.kind"));
        let mut document = good.clone();
        assert!(form.check_document(&document).is_err(), "it has no version");
        document["json_version"] = json!(3);
        assert_eq!(form.check_document(&document), Ok(()));
        assert!(with("size", json!(-1)).contains("answer.size"));
        assert!(with("size", json!(1.5)).contains("answer.size"));
        assert_eq!(with("more", json!(1)), "answer.more is not in the help");
        assert!(with("list", json!([{"a": 1}])).starts_with("answer.list[0].a is 1"));
        assert!(with("map", json!({"b": "x"})).starts_with("answer.map.b"));
        assert_eq!(
            form.check(&json!({"kind": "pool"})).expect_err("much is missing"),
            "answer.name is missing"
        );
    }

    #[test]
    fn what_is_no_form_says_where() {
        for (text, said) in [
            ("", "expected a form at ''"),
            ("{\"a\" \"b\"}", "expected , or } at '\"b\"}'"),
            ("[text", "expected ] at ''"),
            ("texts", "expected a form at 'texts'"),
            ("text text", "expected the end at 'text'"),
            ("{\"a\": with --dry-run}", "expected a form at 'with --dry-run}'"),
        ] {
            assert_eq!(parse(text).expect_err("it is none").to_string(), said);
        }
        assert_eq!(of_help("no form here", "JSON"), None);
        assert_eq!(
            of_help("x\n\nJSON:\n  [text]\n\nmore", "JSON"),
            Some(Ok(Form::List(Box::new(Form::Text))))
        );
    }
}
