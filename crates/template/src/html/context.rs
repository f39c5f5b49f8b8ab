//! Where in an HTML document a template stands: inside which tag, attribute, script or style sheet.

use std::fmt;
use std::sync::Arc;

/// An enumeration whose variants print by the names that Go's error texts show.
macro_rules! states {
    ($(#[$doc:meta])* $name:ident: $($variant:ident $text:literal),+ $(,)?) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($variant),+ }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $($name::$variant => $text),+ })
            }
        }
    };
}

states! {
    /// What the parser of a browser is reading.
    State:
    Text "stateText", Tag "stateTag", AttrName "stateAttrName", AfterName "stateAfterName",
    BeforeValue "stateBeforeValue", MetaContent "stateMetaContent", MetaContentUrl "stateMetaContentURL", HtmlComment "stateHTMLCmt", Rcdata "stateRCDATA", Attr "stateAttr", Url "stateURL",
    Srcset "stateSrcset", Js "stateJS", JsDouble "stateJSDqStr", JsSingle "stateJSSqStr", JsTemplate "stateJSTmplLit",
    JsRegexp "stateJSRegexp", JsBlockComment "stateJSBlockCmt", JsLineComment "stateJSLineCmt",
    JsHtmlOpen "stateJSHTMLOpenCmt", JsHtmlClose "stateJSHTMLCloseCmt", Css "stateCSS", CssDouble "stateCSSDqStr",
    CssSingle "stateCSSSqStr", CssDoubleUrl "stateCSSDqURL", CssSingleUrl "stateCSSSqURL", CssUrl "stateCSSURL",
    CssBlockComment "stateCSSBlockCmt", CssLineComment "stateCSSLineCmt", Error "stateError", Dead "stateDead",
}

states! {
    /// What ends an attribute's value.
    Delimiter:
    None "delimNone", Double "delimDoubleQuote", Single "delimSingleQuote", SpaceOrTagEnd "delimSpaceOrTagEnd",
}

states! {
    /// How far an address has come.
    UrlPart:
    None "urlPartNone", PreQuery "urlPartPreQuery", QueryOrFragment "urlPartQueryOrFrag", Unknown "urlPartUnknown",
}

states! {
    /// What a slash in a script begins.
    Slash:
    Regexp "jsCtxRegexp", Division "jsCtxDivOp", Unknown "jsCtxUnknown",
}

states! {
    /// An element whose content is not HTML.
    Element:
    None "elementNone", Script "elementScript", Style "elementStyle", Textarea "elementTextarea", Title "elementTitle",
    Meta "elementMeta",
}

states! {
    /// What an attribute holds.
    Attribute:
    None "attrNone", Script "attrScript", ScriptType "attrScriptType", Style "attrStyle", Url "attrURL",
    Srcset "attrSrcset", MetaContent "attrMetaContent",
}

impl State {
    pub fn is_comment(self) -> bool {
        use State::*;
        matches!(
            self,
            HtmlComment
                | JsBlockComment
                | JsLineComment
                | JsHtmlOpen
                | JsHtmlClose
                | CssBlockComment
                | CssLineComment
        )
    }

    pub fn is_in_tag(self) -> bool {
        use State::*;
        matches!(self, Tag | AttrName | AfterName | BeforeValue | Attr | MetaContent | MetaContentUrl)
    }

    pub fn is_script_literal(self) -> bool {
        use State::*;
        matches!(self, JsDouble | JsSingle | JsTemplate | JsRegexp)
    }
}

/// Why no context can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// `NAME:LINE:COLUMN`, where a node is to blame.
    pub location: Option<String>,
    /// Of the template, where no node is.
    pub line: usize,
    pub text: String,
}

/// A point in a document.
#[derive(Clone, Debug)]
pub struct Context {
    pub state: State,
    pub delimiter: Delimiter,
    pub url_part: UrlPart,
    pub slash: Slash,
    /// Open braces in each expression of a script's template literal.
    pub braces: Vec<i64>,
    pub attribute: Attribute,
    pub element: Element,
    /// Set when the state is [`State::Error`].
    pub problem: Option<Arc<Problem>>,
}

impl Context {
    /// Between tags.
    pub fn text() -> Self {
        Context::of(State::Text, Element::None)
    }

    /// In this state, nothing else known.
    pub fn of(state: State, element: Element) -> Self {
        Context {
            state,
            delimiter: Delimiter::None,
            url_part: UrlPart::None,
            slash: Slash::Regexp,
            braces: Vec::new(),
            attribute: Attribute::None,
            element,
            problem: None,
        }
    }

    /// An error about the text being read.
    pub fn error(text: String) -> Self {
        Context::failed(Problem { location: None, line: 0, text })
    }

    /// Where nothing can be told any more.
    pub fn failed(problem: Problem) -> Self {
        Context { problem: Some(Arc::new(problem)), ..Context::of(State::Error, Element::None) }
    }

    /// Whether templates may run on from either. Braces do not count, as in Go.
    pub fn is_same(&self, other: &Context) -> bool {
        self.state == other.state
            && self.delimiter == other.delimiter
            && self.url_part == other.url_part
            && self.slash == other.slash
            && self.attribute == other.attribute
            && self.element == other.element
            && self.problem == other.problem
    }

    /// The name of a template when it begins here.
    pub fn mangled(&self, name: &str) -> String {
        if self.state == State::Text {
            return name.to_owned();
        }
        let mut out = format!("{name}$htmltemplate_{}", self.state);
        let mut add = |is_set: bool, part: &dyn fmt::Display| {
            if is_set {
                out.push('_');
                out.push_str(&part.to_string());
            }
        };
        add(self.delimiter != Delimiter::None, &self.delimiter);
        add(self.url_part != UrlPart::None, &self.url_part);
        add(self.slash != Slash::Regexp, &self.slash);
        add(self.attribute != Attribute::None, &self.attribute);
        add(self.element != Element::None, &self.element);
        out
    }

    /// The context once it is clear that something is written here, though nothing was read yet.
    pub fn nudged(&self) -> Context {
        let mut next = self.clone();
        match self.state {
            State::Tag => next.state = State::AttrName,
            State::BeforeValue => {
                next.state = self.attribute.value_state();
                next.delimiter = Delimiter::SpaceOrTagEnd;
                next.attribute = Attribute::None;
            }
            State::AfterName => {
                next.state = State::AttrName;
                next.attribute = Attribute::None;
            }
            _ => {}
        }
        next
    }
}

impl Attribute {
    /// What its value begins as.
    pub fn value_state(self) -> State {
        match self {
            Attribute::None | Attribute::ScriptType => State::Attr,
            Attribute::Script => State::Js,
            Attribute::Style => State::Css,
            Attribute::Url => State::Url,
            Attribute::Srcset => State::Srcset,
            Attribute::MetaContent => State::MetaContent,
        }
    }
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Context { state, delimiter, url_part, slash, braces, attribute, element, .. } = self;
        let braces: Vec<String> = braces.iter().map(i64::to_string).collect();
        let braces = braces.join(" ");
        write!(f, "{{{state} {delimiter} {url_part} {slash} [{braces}] {attribute} {element} <nil>}}")
    }
}
