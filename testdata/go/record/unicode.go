package main

import (
	"bufio"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"time"
	"unicode"
)

// asked is a running Prometheus.
type asked struct {
	base string
	// directory has the templates.
	directory string
}

// askPrometheus writes regexp_classes.tsv, or the characters of unicode.tsv, beside this directory.
func askPrometheus(program string, classes bool) {
	dir, err := os.MkdirTemp("", "record")
	check(err)
	defer os.RemoveAll(dir)
	check(os.WriteFile(filepath.Join(dir, "p.yml"), []byte("scrape_configs: []\n"), 0o600))
	var everything, most, uncased strings.Builder
	for c := rune(0); c <= unicode.MaxRune; c++ {
		if c >= 0xd800 && c <= 0xdfff {
			continue
		}
		everything.WriteRune(c)
		if isLookedAt(c) {
			most.WriteRune(c)
			if !hasNewCase(c) {
				uncased.WriteRune(c)
			}
		}
	}
	prepare := asked{directory: dir}
	for name, text := range map[string]string{"all": everything.String(), "most": most.String(), "uncased": uncased.String()} {
		prepare.write(name, text)
	}
	address := os.Getenv("RECORD_ADDRESS")
	server := exec.Command(program, "--config.file="+filepath.Join(dir, "p.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address, "--web.console.templates="+dir)
	check(server.Start())
	defer server.Process.Kill()
	prometheus := asked{"http://" + address + "/consoles/", dir}
	version := prometheus.goVersion()

	if classes {
		out := create("../regexp_classes.tsv", "Classes of characters in regexp: how many of the characters up to U+33500, and of some later ones, are in each, and the\n# FNV-1a hash of their ranges; letters that are equal without regard to case. Without regard to case, letters whose other\n# case came with Unicode 17 are left out. Asked from Prometheus, built with "+version+".")
		prometheus.classes(out, map[string]string{"(?s)": most.String(), "(?i)": uncased.String()})
		prometheus.folds(out, everything.String())
		check(out.Flush())
		return
	}
	before, err := os.ReadFile("../unicode.tsv")
	check(err)
	out := create("../unicode.tsv", "package unicode and strconv.IsPrint: all code points of a kind as ranges, first and last; all code points that a mapping\n# changes. Asked from Prometheus, built with "+version+", but for is_space, to_title and the texts at the end, which are from go1.23.5.")
	prometheus.kinds(out, everything.String())
	for _, line := range strings.Split(string(before), "\n") {
		if strings.HasPrefix(line, "is_space") || strings.HasPrefix(line, "strings_") {
			fmt.Fprintln(out, line)
		}
	}
	check(out.Flush())
}

// isLookedAt leaves out most of the characters that no version of Unicode has assigned.
func isLookedAt(c rune) bool {
	within := func(first, last rune) bool { return first <= c && c <= last }
	return c <= 0x33500 || within(0xe0000, 0xe0200) || within(0xf0000, 0xf0100) || within(0xfff00, 0x100100) || within(0x10ff00, 0x10ffff)
}

// hasNewCase tells the letters whose other case came with Unicode 17.
func hasNewCase(c rune) bool {
	within := func(first, last rune) bool { return first <= c && c <= last }
	return within(0xa7ce, 0xa7cf) || within(0xa7d2, 0xa7d5) || within(0x16ea0, 0x16ed3)
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func create(name, what string) *bufio.Writer {
	file, err := os.Create(name)
	check(err)
	out := bufio.NewWriter(file)
	fmt.Fprintf(out, "# %s\n# See README.md beside this file for the columns.\n", what)
	return out
}

// literal is the text in quotes for a template.
func literal(text string) string {
	var out strings.Builder
	out.WriteByte('"')
	for _, c := range text {
		if c < 0x20 || c == '"' || c == '\\' || c == 0x7f || c == 0xfeff {
			fmt.Fprintf(&out, `\u%04x`, c)
		} else {
			out.WriteRune(c)
		}
	}
	out.WriteByte('"')
	return out.String()
}

// write adds a page that applies functions to a text.
func (a asked) write(name, text string) {
	page := `{{ $t := ` + literal(text) + ` }}{{ if eq .Params.f "class" }}{{ reReplaceAll .Params.p "" $t | safeHtml }}` +
		`{{ else if eq .Params.f "quote" }}{{ printf "%q" $t | safeHtml }}{{ else if eq .Params.f "upper" }}{{ toUpper $t | safeHtml }}` +
		`{{ else if eq .Params.f "lower" }}{{ toLower $t | safeHtml }}{{ end }}`
	check(os.WriteFile(filepath.Join(a.directory, name+".html"), []byte(page), 0o600))
}

func (a asked) get(address string) string {
	for tries := 0; ; tries++ {
		response, err := http.Get(address)
		if err != nil && tries < 100 {
			time.Sleep(100 * time.Millisecond)
			continue
		}
		check(err)
		body, err := io.ReadAll(response.Body)
		check(err)
		response.Body.Close()
		if response.StatusCode == http.StatusServiceUnavailable && tries < 100 {
			time.Sleep(100 * time.Millisecond)
			continue
		}
		if response.StatusCode != http.StatusOK {
			panic(string(body))
		}
		return string(body)
	}
}

func (a asked) goVersion() string {
	_, rest, _ := strings.Cut(a.get(strings.Replace(a.base, "consoles/", "api/v1/status/buildinfo", 1)), `"goVersion":"`)
	version, _, _ := strings.Cut(rest, `"`)
	return version
}

func (a asked) page(name, function, pattern string) string {
	return a.get(a.base + name + ".html?" + url.Values{"f": {function}, "p": {pattern}}.Encode())
}

// without returns the characters of all that are not in rest, in order. Both have the same order.
func without(all, rest string) string {
	var out strings.Builder
	left := []rune(rest)
	for _, c := range all {
		if len(left) > 0 && left[0] == c {
			left = left[1:]
		} else {
			out.WriteRune(c)
		}
	}
	return out.String()
}

// ranges lists characters as 41-5a,61-7a; surrogates do not count as a gap.
func ranges(matched string) string {
	var out strings.Builder
	first, last := rune(-1), rune(-1)
	for _, c := range matched + "\x00" {
		if last >= 0 && (c == last+1 || (last == 0xd7ff && c == 0xe000)) {
			last = c
			continue
		}
		if last >= 0 {
			fmt.Fprintf(&out, "%x-%x,", first, last)
		}
		first, last = c, c
	}
	return out.String()
}

func (a asked) classes(out io.Writer, texts map[string]string) {
	var patterns []string
	for _, name := range strings.Fields("Any ASCII Assigned C Cc Cf Cn Co Cs L LC Ll Lm Lo Lt Lu M Mc Me Mn N Nd Nl No P Pc Pd Pe Pf Pi Po Ps S Sc Sk Sm So Z Zl Zp Zs letter Uppercase_Letter private-use cntrl digit punct") {
		patterns = append(patterns, `\p{`+name+`}`, `\P{`+name+`}`)
	}
	scripts := strings.Fields("Beria_Erfe Garay Gurung_Khema Kirat_Rai Ol_Onal Sidetic Sunuwar Tai_Yo Todhri Tolong_Siki Tulu_Tigalari")
	for name := range unicode.Scripts {
		scripts = append(scripts, name)
	}
	for _, name := range scripts {
		patterns = append(patterns, `\p{`+name+`}`, `\p{^`+name+`}`)
	}
	for _, name := range []string{"L", "M", "N", "P", "S", "Z", "C", "l"} {
		patterns = append(patterns, `\p`+name, `\P`+name)
	}
	for _, name := range strings.Fields("alnum alpha ascii blank cntrl digit graph lower print punct space upper word xdigit") {
		patterns = append(patterns, `[[:`+name+`:]]`, `[[:^`+name+`:]]`, `[^[:`+name+`:]]`)
	}
	patterns = append(patterns, `\d`, `\D`, `\s`, `\S`, `\w`, `\W`, `[^a]`, `[a-z]`, `[^\d]`, `[\D]`, `[\pL\d]`, `[^\pL]`, `[\PL\pN]`, `[\p{C}a]`, `[^\P{Lo}x]`, `[k-s]`, `[à-ÿ]`, `[^à-ÿ]`, `[α-ω]`, `[^α-ω]`, `[ſ]`, `[ß]`, `[ẞ]`, `[İ]`, `[ı]`, `[ﬅ]`, `[\x{0}-\x{10ffff}]`, `[^\x{0}-\x{10ffff}]`)
	sort.Strings(patterns)
	for _, pattern := range patterns {
		for _, flags := range []string{"(?s)", "(?i)"} {
			if flags == "(?i)" && strings.Contains(pattern, "{LC}") {
				// Unlike other classes of letters, it has no marks that are equal to a letter without regard to case.
				continue
			}
			matched := without(texts[flags], a.page(map[string]string{"(?s)": "most", "(?i)": "uncased"}[flags], "class", flags+pattern))
			hash := fnv.New64a()
			hash.Write([]byte(ranges(matched)))
			fmt.Fprintf(out, "regexp_class\t%s\t=\t%d\t%016x\n", escaped(flags+pattern), len([]rune(matched)), hash.Sum64())
		}
	}
}

// folds writes each set of letters that are equal without regard to case.
func (a asked) folds(out io.Writer, everything string) {
	cased := map[rune]bool{}
	for _, function := range []string{"upper", "lower"} {
		mapped := []rune(a.page("all", function, ""))
		for at, c := range []rune(everything) {
			if mapped[at] != c {
				cased[c], cased[mapped[at]] = true, true
			}
		}
	}
	var letters []rune
	for c := range cased {
		letters = append(letters, c)
	}
	sort.Slice(letters, func(i, j int) bool { return letters[i] < letters[j] })
	a.write("cased", string(letters))
	done := map[rune]bool{}
	for _, c := range letters {
		if done[c] {
			continue
		}
		orbit := []rune(without(string(letters), a.page("cased", "class", "(?i)"+string(c))))
		for _, other := range orbit {
			done[other] = true
		}
		if len(orbit) > 1 && !hasNewCase(c) {
			fmt.Fprintf(out, "regexp_fold\t%s\t=\t%s\n", escaped(string(c)), escaped(string(orbit)))
		}
	}
}

// kinds writes ranges and mappings over all characters.
func (a asked) kinds(out io.Writer, everything string) {
	all := []rune(everything)
	quoted := []rune(strings.TrimSpace(a.page("all", "quote", "")))[1:]
	printable := map[rune]bool{}
	for _, c := range all {
		if quoted[0] != '\\' || c == '\\' || c == '"' {
			printable[c] = true
		}
		quoted = quoted[quotedLength(quoted):]
	}
	set := func(pattern string) map[rune]bool {
		found := map[rune]bool{}
		for _, c := range without(everything, a.page("all", "class", pattern)) {
			found[c] = true
		}
		return found
	}
	for _, kind := range []struct {
		name string
		set  map[rune]bool
	}{{"is_print", printable}, {"is_letter", set(`\pL`)}, {"is_digit", set(`\p{Nd}`)}} {
		first := rune(-1)
		for c := rune(0); c <= unicode.MaxRune+1; c++ {
			switch in := kind.set[c]; {
			case in && first < 0:
				first = c
			case !in && first >= 0:
				fmt.Fprintf(out, "%s\t%x\t%x\t=\n", kind.name, first, c-1)
				first = -1
			}
		}
	}
	upper := []rune(a.page("all", "upper", ""))
	// The function of templates has words in view, so this mapping is Go 1.23's, and that to upper case for later letters.
	title := make([]rune, len(all))
	for at, c := range all {
		title[at] = unicode.ToTitle(c)
		if title[at] == c && unicode.ToUpper(c) == c {
			title[at] = upper[at]
		}
	}
	for _, mapping := range []struct {
		name   string
		mapped []rune
	}{{"to_upper", upper}, {"to_lower", []rune(a.page("all", "lower", ""))}, {"to_title", title}} {
		for at, c := range all {
			if mapping.mapped[at] != c {
				fmt.Fprintf(out, "%s\t%x\t=\t%x\n", mapping.name, c, mapping.mapped[at])
			}
		}
	}
}

// quotedLength is the length of the first character of a quoted text.
func quotedLength(quoted []rune) int {
	if quoted[0] != '\\' {
		return 1
	}
	switch quoted[1] {
	case 'x':
		return 4
	case 'u':
		return 6
	case 'U':
		return 10
	}
	return 2
}
