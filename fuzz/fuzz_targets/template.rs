//! Templates: any text is parsed or refused, and what was parsed executes within its limits.

use ferula_template::{FunctionMap, Limits, Template, Value};

fn main() {
    let seeds: [&[u8]; 4] = [
        b"{{ range $i, $x := .a }}{{ if eq $i 1 }}{{ break }}{{ else }}{{ $x | printf \"%5.2f\" }}{{ end }}{{ end }}",
        b"{{ define \"t\" }}[{{ . }}]{{- end -}}{{ template \"t\" (index .a 0) }}{{ with $x := 1.5e3 }}{{ $x }}{{ end }}",
        b"{{/* c */}}{{ len \"\\u00e9\" | html }}{{ slice \"abc\" 1 2 }}{{ and true (not nil) `raw` 'c' }}",
        b"{{ printf \"%[2]*[1]d %q %x %+v\" 1 2 \"s\" . }}{{ block \"b\" .a.b }}{{ end }}",
    ];
    let functions = FunctionMap::new();
    let data = Value::text_map([("a", "x"), ("b", "y")]);
    let limits = Limits { steps: 10_000, output_bytes: 100_000, depth: 20 };
    ferula_fuzz::drive("template", &seeds, |input| {
        let Ok(text) = std::str::from_utf8(input) else { return };
        if let Ok(template) = Template::parse("fuzz", text, &functions) {
            // An error is as acceptable as a result; only a panic is not.
            let _ = template.execute(&data, &functions, &limits);
        }
    });
}
