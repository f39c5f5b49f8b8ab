//! Templates that would take all memory, all time or all of the stack end in an error, text and HTML alike.

use std::fmt::Write;

use ferula_template::{FunctionMap, Limits, Template, TemplateError, Value};

const LIMITS: Limits = Limits { steps: 200_000, output_bytes: 1 << 20, depth: 100 };

fn run(template: &str, is_html: bool) -> Result<String, TemplateError> {
    let functions = FunctionMap::new();
    let template = Template::parse("t", template, &functions)?;
    let template = if is_html { template.escaped()? } else { template };
    template.execute(&Value::Nil, &functions, &LIMITS)
}

#[test]
fn greedy_templates_are_stopped() {
    let doubled = "{{$x = printf \"%s%s\" $x $x}}".repeat(60);
    let chain = (0..2000).fold(String::new(), |mut out, n| {
        write!(out, "{{{{define \"{n}\"}}}}{{{{template \"{}\"}}}}{{{{end}}}}", n + 1).expect("a String");
        out
    });
    for (what, template) in [
        ("recursion", "{{define \"r\"}}{{template \"r\"}}{{end}}{{template \"r\"}}".to_owned()),
        ("mutual recursion", "{{define \"a\"}}{{template \"b\"}}{{end}}{{define \"b\"}}x{{template \"a\"}}{{end}}{{template \"a\"}}".to_owned()),
        ("steps", "{{range 1000000000}}{{end}}".to_owned()),
        ("nested steps", "{{range 100000}}{{range 100000}}{{end}}{{end}}".to_owned()),
        ("output", "{{range 100000}}0123456789abcdef0123456789abcdef{{end}}".to_owned()),
        ("doubling", format!("{{{{$x := \"0123456789\"}}}}{doubled}")),
        ("one argument often", format!("{{{{$x := printf \"%500000d\" 1}}}}{{{{print{}}}}}", " $x".repeat(20_000))),
        ("one argument often by its index", format!("{{{{$x := printf \"%500000d\" 1}}}}{{{{printf \"{}\" $x}}}}", "%[1]s".repeat(200_000))),
        ("width", "{{range 1000}}{{printf \"%1000000d\" 1}}{{end}}".to_owned()),
        ("a chain of templates", format!("{chain}{{{{define \"2000\"}}}}{{{{end}}}}{{{{template \"0\"}}}}")),
    ] {
        for is_html in [false, true] {
            let result = run(&template, is_html);
            assert!(matches!(result, Err(TemplateError::Limit(_))), "{what}, html {is_html}: {result:?}");
        }
    }
}

#[test]
fn ranges_in_ranges_do_not_multiply_the_escaping_without_end() {
    let depth = 60;
    let template = format!("{}x{}", "{{range 1}}<p>{{.}}".repeat(depth), "{{end}}".repeat(depth));
    assert!(matches!(run(&template, true), Err(TemplateError::Limit(_))));
    let shallow = format!("{}x{}", "{{range 1}}<p>{{.}}".repeat(8), "{{end}}".repeat(8));
    assert_eq!(run(&shallow, true), Ok("<p>0".repeat(8) + "x"));
}

#[test]
fn deep_nesting_is_refused_when_it_is_read() {
    for (open, close) in [("{{if 1}}", "{{end}}"), ("{{with 1}}", "{{end}}")] {
        let template = format!("{}{}", open.repeat(100_000), close.repeat(100_000));
        assert!(matches!(run(&template, false), Err(TemplateError::Parse(_))));
    }
    let parentheses = format!("{{{{{}1{}}}}}", "(".repeat(100_000), ")".repeat(100_000));
    assert!(matches!(run(&parentheses, false), Err(TemplateError::Parse(_))));
}

#[test]
fn a_set_keeps_definitions_that_a_later_text_leaves_empty() {
    let functions = FunctionMap::new();
    let mut set =
        Template::parse("t", "{{template \"a\"}}{{template \"b\"}}", &functions).expect("a template");
    set.add("one", "{{define \"a\"}}1{{end}}{{define \"b\"}}2{{end}}", &functions).expect("more");
    set.add("two", "{{define \"a\"}} {{end}}{{define \"b\"}}3{{end}}", &functions).expect("more");
    assert_eq!(set.execute(&Value::Nil, &functions, &LIMITS), Ok("13".to_owned()));
    set.add("three.tmpl", "\n{{define \"b\"}}{{index 1 2}}{{end}}", &functions).expect("more");
    let error = set.execute(&Value::Nil, &functions, &LIMITS).expect_err("no list");
    let expected = "template: three.tmpl:2:16: executing \"b\" at <index 1 2>: error calling index: can't index item of type int";
    assert_eq!(error.to_string(), expected);
    assert!(set.add("four", "{{", &functions).is_err());
    assert_eq!(set.names().collect::<Vec<_>>(), ["a", "b", "one", "t", "three.tmpl", "two"]);
}
