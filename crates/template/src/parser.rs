//! Tokens to a tree. One function per production; errors carry the line of the token last read, as Go's do.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ast::{Branch, Command, List, Node, NodeKind, Operand, OperandKind, Pipe};
use crate::builtin;
use crate::error::TemplateError;
use crate::function::FunctionMap;
use crate::lexer::{Keyword, Token, TokenKind, tokens};
use crate::number;
use ferula_go::quote::{go_quote, unquote};

/// Parentheses and control structures may lie this deep in each other.
const DEPTH_MAX: usize = 200;

type Parsed<T> = Result<T, TemplateError>;

/// Trees by name: the template's own and those it defines.
pub fn parse(name: &str, text: &str, functions: &FunctionMap) -> Parsed<BTreeMap<String, Arc<List>>> {
    let mut parser = Parser {
        name,
        tokens: tokens(text),
        at: 0,
        last_line: 1,
        action_line: 0,
        functions,
        variables: vec!["$".to_owned()],
        trees: BTreeMap::new(),
        range_depth: 0,
        depth: 0,
    };
    let root = parser.root()?;
    parser.add(name.to_owned(), root)?;
    Ok(parser.trees)
}

struct Parser<'a> {
    name: &'a str,
    tokens: Vec<Token>,
    at: usize,
    /// Line of the token that was read last, also when it was given back.
    last_line: usize,
    /// Line where the current action began; 0 outside of one.
    action_line: usize,
    functions: &'a FunctionMap,
    /// Variables in scope.
    variables: Vec<String>,
    trees: BTreeMap<String, Arc<List>>,
    range_depth: usize,
    depth: usize,
}

/// How a list of nodes ended.
enum Ending {
    End,
    Else(usize),
}

impl Parser<'_> {
    fn next(&mut self) -> Token {
        let token = self.tokens[self.at.min(self.tokens.len() - 1)].clone();
        self.at += 1;
        self.last_line = token.line;
        token
    }

    fn back(&mut self) {
        self.at -= 1;
    }

    fn peek(&mut self) -> Token {
        let token = self.next();
        self.back();
        token
    }

    fn next_word(&mut self) -> Token {
        loop {
            let token = self.next();
            if token.kind != TokenKind::Space {
                return token;
            }
        }
    }

    /// The next token that is not a space; the spaces before it are passed over.
    fn peek_word(&mut self) -> Token {
        let token = self.next_word();
        self.back();
        token
    }

    fn error<T>(&self, message: impl std::fmt::Display) -> Parsed<T> {
        Err(TemplateError::Parse(format!("template: {}:{}: {message}", self.name, self.last_line)))
    }

    fn unexpected<T>(&self, token: &Token, context: &str) -> Parsed<T> {
        if token.kind != TokenKind::Error {
            return self.error(format!("unexpected {} in {context}", token.shown()));
        }
        let mut started = String::new();
        if self.action_line != 0 && self.action_line != token.line {
            let action = if token.text.ends_with(" action") { "" } else { " in action" };
            started = format!("{action} started at {}:{}", self.name, self.action_line);
        }
        self.error(format!("{}{started}", token.shown()))
    }

    fn expect(&mut self, kind: TokenKind, context: &str) -> Parsed<Token> {
        let token = self.next_word();
        if token.kind == kind { Ok(token) } else { self.unexpected(&token, context) }
    }

    /// Goes one level down, unless that is too deep.
    fn deeper<T>(&mut self, production: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= DEPTH_MAX {
            return self.error(format!("nested more than {DEPTH_MAX} deep"));
        }
        self.depth += 1;
        let parsed = production(self);
        self.depth -= 1;
        parsed
    }

    fn root(&mut self) -> Parsed<List> {
        let mut nodes = Vec::new();
        while self.peek().kind != TokenKind::End {
            let before = self.at;
            if self.next().kind == TokenKind::LeftDelimiter
                && self.next_word().kind == TokenKind::Keyword(Keyword::Define)
            {
                self.definition()?;
                continue;
            }
            self.at = before;
            match self.text_or_action()? {
                Ok(node) => nodes.push(node),
                Err(Ending::End) => return self.error("unexpected {{end}}"),
                Err(Ending::Else(_)) => return self.error("unexpected {{else}}"),
            }
        }
        Ok(List(nodes))
    }

    fn definition(&mut self) -> Parsed<()> {
        const CONTEXT: &str = "define clause";
        let token = self.next_word();
        let name = self.template_name(&token, CONTEXT)?;
        self.expect(TokenKind::RightDelimiter, CONTEXT)?;
        let list = self.separate_list(CONTEXT)?;
        self.add(name, list)
    }

    /// The body of a definition or block: it sees no variables from outside.
    fn separate_list(&mut self, context: &str) -> Parsed<List> {
        let variables = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
        let ranges = std::mem::take(&mut self.range_depth);
        let (list, ending) = self.list()?;
        self.variables = variables;
        self.range_depth = ranges;
        match ending {
            Ending::End => Ok(list),
            Ending::Else(_) => self.error(format!("unexpected {{{{else}}}} in {context}")),
        }
    }

    fn add(&mut self, name: String, list: List) -> Parsed<()> {
        match self.trees.get(&name) {
            Some(old) if !old.is_empty() => {
                if !list.is_empty() {
                    return self
                        .error(format!("template: multiple definition of template {}", go_quote(&name)));
                }
            }
            _ => {
                self.trees.insert(name, Arc::new(list));
            }
        }
        Ok(())
    }

    /// Nodes up to `{{end}}` or `{{else}}`.
    fn list(&mut self) -> Parsed<(List, Ending)> {
        self.deeper(|parser| {
            let mut nodes = Vec::new();
            while parser.peek_word().kind != TokenKind::End {
                match parser.text_or_action()? {
                    Ok(node) => nodes.push(node),
                    Err(ending) => return Ok((List(nodes), ending)),
                }
            }
            parser.error("unexpected EOF")
        })
    }

    fn text_or_action(&mut self) -> Parsed<Result<Node, Ending>> {
        let token = self.next_word();
        match token.kind {
            TokenKind::Text => Ok(Ok(Node { position: token.position, kind: NodeKind::Text(token.text) })),
            TokenKind::LeftDelimiter => {
                self.action_line = token.line;
                let action = self.action();
                if action.is_ok() {
                    self.action_line = 0;
                }
                action
            }
            _ => self.unexpected(&token, "input"),
        }
    }

    fn action(&mut self) -> Parsed<Result<Node, Ending>> {
        let token = self.next_word();
        let node = |kind| Ok(Ok(Node { position: token.position, kind }));
        match token.kind {
            TokenKind::Keyword(Keyword::Block) => self.block().map(Ok),
            TokenKind::Keyword(Keyword::Break) => {
                self.loop_word("break")?;
                node(NodeKind::Break)
            }
            TokenKind::Keyword(Keyword::Continue) => {
                self.loop_word("continue")?;
                node(NodeKind::Continue)
            }
            TokenKind::Keyword(Keyword::Else) => {
                let next = self.peek_word();
                if !matches!(next.kind, TokenKind::Keyword(Keyword::If | Keyword::With)) {
                    self.expect(TokenKind::RightDelimiter, "else")?;
                }
                Ok(Err(Ending::Else(next.position)))
            }
            TokenKind::Keyword(Keyword::End) => {
                self.expect(TokenKind::RightDelimiter, "end")?;
                Ok(Err(Ending::End))
            }
            TokenKind::Keyword(Keyword::If) => self.control("if").map(Ok),
            TokenKind::Keyword(Keyword::Range) => self.control("range").map(Ok),
            TokenKind::Keyword(Keyword::With) => self.control("with").map(Ok),
            TokenKind::Keyword(Keyword::Template) => self.template().map(Ok),
            _ => {
                self.back();
                let position = self.peek().position;
                let pipe = self.pipeline("command", TokenKind::RightDelimiter)?;
                Ok(Ok(Node { position, kind: NodeKind::Action(pipe) }))
            }
        }
    }

    fn loop_word(&mut self, word: &str) -> Parsed<()> {
        let token = self.next_word();
        if token.kind != TokenKind::RightDelimiter {
            return self.unexpected(&token, &format!("{{{{{word}}}}}"));
        }
        if self.range_depth == 0 {
            return self.error(format!("{{{{{word}}}}} outside {{{{range}}}}"));
        }
        Ok(())
    }

    /// `if`, `range` or `with` up to and with its `{{end}}`.
    fn control(&mut self, word: &'static str) -> Parsed<Node> {
        let scope = self.variables.len();
        let pipe = self.pipeline(word, TokenKind::RightDelimiter)?;
        let position = pipe.position;
        self.range_depth += usize::from(word == "range");
        let (list, ending) = self.list()?;
        self.range_depth -= usize::from(word == "range");
        let otherwise = match ending {
            Ending::End => None,
            Ending::Else(at) => Some(self.otherwise(word, at)?),
        };
        self.variables.truncate(scope);
        let branch = Branch { pipe, list, otherwise };
        let kind = match word {
            "if" => NodeKind::If(branch),
            "with" => NodeKind::With(branch),
            _ => NodeKind::Range(branch),
        };
        Ok(Node { position, kind })
    }

    fn otherwise(&mut self, word: &'static str, _position: usize) -> Parsed<List> {
        let next = self.peek().kind;
        // `{{else if x}}` is an `{{if x}}` inside of the else part that shares the one `{{end}}`.
        if (word == "if" && next == TokenKind::Keyword(Keyword::If))
            || (word == "with" && next == TokenKind::Keyword(Keyword::With))
        {
            self.next();
            let nested = self.deeper(|parser| parser.control(word))?;
            return Ok(List(vec![nested]));
        }
        let (list, ending) = self.list()?;
        match ending {
            Ending::End => Ok(list),
            Ending::Else(_) => self.error("expected end; found {{else}}"),
        }
    }

    fn block(&mut self) -> Parsed<Node> {
        const CONTEXT: &str = "block clause";
        let token = self.next_word();
        let name = self.template_name(&token, CONTEXT)?;
        let pipe = self.pipeline(CONTEXT, TokenKind::RightDelimiter)?;
        let list = self.separate_list(CONTEXT)?;
        self.add(name.clone(), list)?;
        Ok(Node { position: token.position, kind: NodeKind::Template(name, Some(pipe)) })
    }

    fn template(&mut self) -> Parsed<Node> {
        const CONTEXT: &str = "template clause";
        let token = self.next_word();
        let name = self.template_name(&token, CONTEXT)?;
        let mut pipe = None;
        if self.next_word().kind != TokenKind::RightDelimiter {
            self.back();
            pipe = Some(self.pipeline(CONTEXT, TokenKind::RightDelimiter)?);
        }
        Ok(Node { position: token.position, kind: NodeKind::Template(name, pipe) })
    }

    fn template_name(&self, token: &Token, context: &str) -> Parsed<String> {
        match token.kind {
            TokenKind::String | TokenKind::RawString => self.unquoted(&token.text),
            _ => self.unexpected(token, context),
        }
    }

    fn unquoted(&self, literal: &str) -> Parsed<String> {
        match unquote(literal) {
            Some(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            None => self.error("invalid syntax"),
        }
    }

    fn pipeline(&mut self, context: &str, end: TokenKind) -> Parsed<Pipe> {
        let position = self.peek_word().position;
        let mut pipe = Pipe { position, declares: Vec::new(), assigns: false, commands: Vec::new() };
        self.declarations(&mut pipe, context)?;
        loop {
            let token = self.next_word();
            match token.kind {
                kind if kind == end => {
                    self.check_pipeline(&pipe, context)?;
                    return Ok(pipe);
                }
                TokenKind::Bool
                | TokenKind::CharConstant
                | TokenKind::Keyword(Keyword::Dot | Keyword::Nil)
                | TokenKind::Field
                | TokenKind::Identifier
                | TokenKind::Number
                | TokenKind::RawString
                | TokenKind::String
                | TokenKind::Variable
                | TokenKind::LeftParen => {
                    self.back();
                    let command = self.command()?;
                    pipe.commands.push(command);
                }
                _ => return self.unexpected(&token, context),
            }
        }
    }

    /// `$x :=`, `$x =`, and `$i, $x :=` in a range.
    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Parsed<()> {
        loop {
            let variable = self.peek_word();
            if variable.kind != TokenKind::Variable {
                return Ok(());
            }
            let before = self.at;
            self.next();
            let next = self.next_word();
            match next.kind {
                TokenKind::Assign | TokenKind::Declare => {
                    pipe.assigns = next.kind == TokenKind::Assign;
                    pipe.declares.push(variable.text.clone());
                    self.variables.push(variable.text);
                    return Ok(());
                }
                TokenKind::Char if next.text == "," => {
                    pipe.declares.push(variable.text.clone());
                    self.variables.push(variable.text);
                    if context != "range" || pipe.declares.len() >= 2 {
                        return self.error(format!("too many declarations in {context}"));
                    }
                    let follows = self.peek_word().kind;
                    if !matches!(
                        follows,
                        TokenKind::Variable | TokenKind::RightDelimiter | TokenKind::RightParen
                    ) {
                        return self.error("range can only initialize variables");
                    }
                }
                _ => {
                    // An ordinary argument after all.
                    self.at = before;
                    return Ok(());
                }
            }
        }
    }

    fn check_pipeline(&self, pipe: &Pipe, context: &str) -> Parsed<()> {
        if pipe.commands.is_empty() {
            return self.error(format!("missing value for {context}"));
        }
        for (index, command) in pipe.commands.iter().enumerate().skip(1) {
            let first = &command.words[0].kind;
            if matches!(
                first,
                OperandKind::Bool(_)
                    | OperandKind::Dot
                    | OperandKind::Nil
                    | OperandKind::Number(_)
                    | OperandKind::Text(..)
            ) {
                return self.error(format!("non executable command in pipeline stage {}", index + 1));
            }
        }
        Ok(())
    }

    fn command(&mut self) -> Parsed<Command> {
        let mut command = Command { position: self.peek_word().position, words: Vec::new() };
        loop {
            self.peek_word();
            if let Some(word) = self.operand()? {
                command.words.push(word);
            }
            let token = self.next();
            match token.kind {
                TokenKind::Space => continue,
                TokenKind::RightDelimiter | TokenKind::RightParen => self.back(),
                TokenKind::Pipe => {}
                _ => return self.unexpected(&token, "operand"),
            }
            break;
        }
        if command.words.is_empty() {
            return self.error("empty command");
        }
        Ok(command)
    }

    /// A term and the fields that follow it directly.
    fn operand(&mut self) -> Parsed<Option<Operand>> {
        let Some(term) = self.term()? else { return Ok(None) };
        let token = self.peek();
        if token.kind != TokenKind::Field {
            return Ok(Some(term));
        }
        let mut names = Vec::new();
        while self.peek().kind == TokenKind::Field {
            names.push(self.next().text[1..].to_owned());
        }
        let position = token.position;
        let kind = match term.kind {
            OperandKind::Field(mut all) => {
                all.extend(names);
                OperandKind::Field(all)
            }
            OperandKind::Variable(mut all) => {
                all.extend(names);
                OperandKind::Variable(all)
            }
            OperandKind::Bool(_)
            | OperandKind::Text(..)
            | OperandKind::Number(_)
            | OperandKind::Nil
            | OperandKind::Dot => {
                return self.error(format!("unexpected . after term {}", go_quote(&term.to_string())));
            }
            _ => OperandKind::Chain(Box::new(term), names),
        };
        Ok(Some(Operand { position, kind }))
    }

    fn term(&mut self) -> Parsed<Option<Operand>> {
        let token = self.next_word();
        let kind = match token.kind {
            TokenKind::Identifier => {
                if !builtin::is_builtin(&token.text) && !self.functions.contains_key(token.text.as_str()) {
                    return self.error(format!("function {} not defined", go_quote(&token.text)));
                }
                OperandKind::Function(token.text)
            }
            TokenKind::Keyword(Keyword::Dot) => OperandKind::Dot,
            TokenKind::Keyword(Keyword::Nil) => OperandKind::Nil,
            TokenKind::Variable => {
                if !self.variables.contains(&token.text) {
                    return self.error(format!("undefined variable {}", go_quote(&token.text)));
                }
                OperandKind::Variable(vec![token.text])
            }
            TokenKind::Field => OperandKind::Field(vec![token.text[1..].to_owned()]),
            TokenKind::Bool => OperandKind::Bool(token.text == "true"),
            TokenKind::CharConstant | TokenKind::Number => match number::number(&token.text) {
                Ok(number) => OperandKind::Number(number),
                Err(message) => return self.error(message),
            },
            TokenKind::LeftParen => {
                let pipe =
                    self.deeper(|parser| parser.pipeline("parenthesized pipeline", TokenKind::RightParen))?;
                return Ok(Some(Operand {
                    position: pipe.position,
                    kind: OperandKind::Pipe(Box::new(pipe)),
                }));
            }
            TokenKind::String | TokenKind::RawString => {
                OperandKind::Text(self.unquoted(&token.text)?, token.text)
            }
            _ => {
                self.back();
                return Ok(None);
            }
        };
        Ok(Some(Operand { position: token.position, kind }))
    }
}
