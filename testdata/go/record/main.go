// Records answers of Go's library for crates/go/tests/recorded.rs: `go run . mime > ../mime_mixed.tsv`, and in the same way
// `url` for url_mixed.tsv. Inputs come from a fixed seed.
//
// Unicode is another matter: its version is that of the Go that Prometheus is built with. So `go run . classes PROMETHEUS`
// and `go run . unicode PROMETHEUS` start that program, at the address in RECORD_ADDRESS, and ask it by way of the functions of
// console templates; they write regexp_classes.tsv and the characters of unicode.tsv.
package main

import (
	"errors"
	"fmt"
	"math/rand"
	"mime"
	"net/netip"
	"net/url"
	"os"
	"runtime"
	"strings"
)

func main() {
	if kind := os.Args[1]; kind == "unicode" || kind == "classes" {
		askPrometheus(os.Args[2], kind == "classes")
		return
	}
	fmt.Printf("# Recorded by record/main.go %s with %s on %s; see README.md beside this file for the columns.\n", os.Args[1], runtime.Version(), runtime.GOARCH)
	switch os.Args[1] {
	case "mime":
		mediaTypes()
	case "url":
		urls()
	}
}

// escaped writes bytes that are not printable ASCII, and the backslash, as \xff.
func escaped(s string) string {
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if b := s[i]; b < 0x20 || b > 0x7e || b == '\\' {
			fmt.Fprintf(&out, "\\x%02x", b)
		} else {
			out.WriteByte(b)
		}
	}
	return out.String()
}

func record(call string, inputs []string, err error, results ...string) {
	if err == errSkipped {
		return
	}
	fmt.Print(call)
	for _, input := range inputs {
		fmt.Print("\t", escaped(input))
	}
	if err != nil {
		fmt.Println("\t!\t" + escaped(err.Error()))
		return
	}
	fmt.Print("\t=")
	for _, result := range results {
		fmt.Print("\t", escaped(result))
	}
	fmt.Println()
}

// mixed joins up to n pieces.
func mixed(random *rand.Rand, n int, pieces []string) string {
	var out strings.Builder
	for i := random.Intn(n + 1); i > 0; i-- {
		out.WriteString(pieces[random.Intn(len(pieces))])
	}
	return out.String()
}

func mediaTypes() {
	random := rand.New(rand.NewSource(1))
	types := []string{"text/plain", "application/json", "application/x-protobuf", "application/openmetrics-text", "Application/VND.google.protobuf", "text", "*/*", "a/b/c", "text/", "/x", ""}
	pieces := []string{";", ";", ";", " ", "=", "\"", "\\", "a", "charset", "utf-8", "version", "0.0.4", "1.0.0", "proto", "io.prometheus.write.v2.Request", "q", "0.5", "*", "*0", "'", "''", "%20", "utf-8''", ",", "\t", "\r\n", "/", "\u00e9", "\xff", "\x00", "\u212a", "(", ")", "@", "boundary"}
	seen := map[string]bool{}
	for len(seen) < 900 {
		header := types[random.Intn(len(types))] + mixed(random, 9, pieces)
		if random.Intn(2) == 0 {
			// Whole parameters, some of them damaged.
			header = types[random.Intn(5)]
			for i := random.Intn(4); i > 0; i-- {
				header += []string{";", "; ", " ; ", ";;", ""}[random.Intn(5)]
				header += mixed(random, 2, []string{"a", "A", "charset", "Version", "proto", "q", "a*", "a*0", "a*1", "a*0*"})
				header += []string{"=", "=", "=", " = ", ""}[random.Intn(5)]
				value := mixed(random, 3, pieces[3:])
				if random.Intn(3) == 0 {
					value = "\"" + value + "\""
				}
				header += value
			}
		}
		if seen[header] {
			continue
		}
		seen[header] = true
		mediaType, _, err := mime.ParseMediaType(header)
		record("media_type", []string{header}, err, mediaType)
	}
}

// parse is url.Parse of Go 1.24.8 and later, which also looks at what is in the brackets of a host. promtool of Prometheus
// 3.5, which is built with Go 1.27, refuses the same in the same words.
func parse(base *url.URL, text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err == nil {
		err = checkBrackets(u.Host)
	} else if host := authority(text); strings.Contains(host, "[") && isAboutHost(err) {
		if strings.LastIndex(host, "[") > 0 {
			err = errors.New("invalid IP-literal")
		} else if !strings.Contains(err.Error(), "after host") {
			// What is wrong first differs between the versions.
			return nil, errSkipped
		}
	}
	if err != nil {
		if _, wrapped := err.(*url.Error); !wrapped {
			before, _, _ := strings.Cut(text, "#")
			err = &url.Error{Op: "parse", URL: before, Err: err}
		}
		return nil, err
	}
	if base != nil {
		return base.ResolveReference(u), nil
	}
	return u, nil
}

var errSkipped = errors.New("not recorded")

func isAboutHost(err error) bool {
	for _, part := range []string{"after host", "invalid URL escape", "in host name"} {
		if strings.Contains(err.Error(), part) {
			return true
		}
	}
	return false
}

func authority(text string) string {
	scheme, rest, found := strings.Cut(text, "//")
	if !found || (scheme != "" && !strings.HasSuffix(scheme, ":")) || strings.ContainsAny(scheme, "/?#") {
		return ""
	}
	rest, _, _ = strings.Cut(rest, "#")
	rest, _, _ = strings.Cut(rest, "?")
	rest, _, _ = strings.Cut(rest, "/")
	return rest[strings.LastIndex(rest, "@")+1:]
}

func checkBrackets(host string) error {
	open := strings.LastIndex(host, "[")
	if open < 0 {
		return nil
	}
	if open > 0 {
		return errors.New("invalid IP-literal")
	}
	address, err := netip.ParseAddr(host[1:strings.LastIndex(host, "]")])
	if err != nil {
		return fmt.Errorf("invalid host: %w", err)
	}
	if address.Is4() {
		return errors.New("invalid IP-literal")
	}
	return nil
}

func urls() {
	random := rand.New(rand.NewSource(2))
	pieces := []string{"http", "https", "HTTP", "unix", ":", ":", "//", "//", "/", "/", "?", "#", "@", "user", "p:w", "%20", "%2F", "%2f", "%zz", "%", "%4", "host", "host.example", "127.0.0.1", "[::1]", "[fe80::1%25en0]", "[", "]", ":80", ":9090", ":port", ":0x1", "a", "b c", ".", "..", "./", "../", "*", "\u00e9", "\u65e5", "\xff", "\x7f", "\n", "\"", "<", "|", "{x}", "\\", "^", "`", ";", "&", "=", "+", ",", "$", "!", "'", "(", "~"}
	whole := func() string {
		if random.Intn(3) == 0 {
			return mixed(random, 8, pieces)
		}
		text := []string{"http://", "https://", "//", "", "a:", "http:/"}[random.Intn(6)]
		text += []string{"", "", "u@", "u:p@", "u:%40@", ":@"}[random.Intn(6)]
		text += []string{"host", "h.example:9090", "[::1]", "[::1]:80", "127.0.0.1", "", "HOST", "h%41", "h st", "\u00e9.example"}[random.Intn(10)]
		text += mixed(random, 5, pieces[8:])
		return text
	}
	seen := map[string]bool{}
	for len(seen) < 900 {
		text := whole()
		if seen[text] {
			continue
		}
		seen[text] = true
		u, err := parse(nil, text)
		if err != nil {
			record("url_parse", []string{text}, err)
			continue
		}
		password, hasPassword := u.User.Password()
		if hasPassword {
			password = ":" + password
		}
		record("url_parse", []string{text}, nil, u.Scheme, u.Opaque, u.User.Username(), password, u.Host, u.Hostname(), u.Port(), u.Path, u.EscapedPath(), u.RawQuery, u.Fragment, u.String(), u.Redacted(), u.RequestURI())
	}
	addressPieces := []string{":", ":", "::", "1", "ff", "ffff", "10000", "12345", "0", "g", ".", "1.2.3.4", "255", "256", "01", "%", "%25", "zone", "[", "]", " ", "\u00e9"}
	for i := 0; i < 400; i++ {
		text := mixed(random, 9, addressPieces)
		_, err := netip.ParseAddr(text)
		record("parse_addr", []string{text}, err)
		text = "http://[" + mixed(random, 7, addressPieces) + "]" + []string{"", ":80", ":x", "]"}[random.Intn(4)] + "/"
		u, err := parse(nil, text)
		if err != nil {
			record("url_parse", []string{text}, err)
		} else {
			record("url_parse", []string{text}, nil, u.Scheme, u.Opaque, "", "", u.Host, u.Hostname(), u.Port(), u.Path, u.EscapedPath(), u.RawQuery, u.Fragment, u.String(), u.Redacted(), u.RequestURI())
		}
	}
	bases := []string{"http://h/a/b/c", "http://h", "https://u:p@h:1/x/?q=1#f", "http://h/a%2Fb/c", "/a/b", "a:opaque", "//h/p/"}
	for i := 0; i < 500; i++ {
		base, reference := bases[random.Intn(len(bases))], mixed(random, 5, pieces)
		if random.Intn(3) == 0 {
			reference = whole()
		}
		b, err := parse(nil, base)
		if err == nil {
			var resolved *url.URL
			if resolved, err = parse(b, reference); err == nil {
				record("url_resolve", []string{base, reference}, nil, resolved.String())
				continue
			}
		}
		record("url_resolve", []string{base, reference}, err)
	}
	queryPieces := append([]string{"a", "b", "match[]", "up", "=", "=", "=", "&", "&", "&", ";", "+", "%20", "%26", "%3D", "%", "%zz", "%c3%a9"}, pieces[25:]...)
	for i := 0; i < 500; i++ {
		query := mixed(random, 9, queryPieces)
		values, err := url.ParseQuery(query)
		record("parse_query", []string{query}, nil, values.Encode())
		if err == nil {
			record("parse_query_error", []string{query}, nil, "")
		} else {
			record("parse_query_error", []string{query}, err)
		}
		text := mixed(random, 5, pieces)
		record("query_escape", []string{text}, nil, url.QueryEscape(text))
		record("path_escape", []string{text}, nil, url.PathEscape(text))
		unescaped, err := url.QueryUnescape(text)
		record("query_unescape", []string{text}, err, unescaped)
		unescaped, err = url.PathUnescape(text)
		record("path_unescape", []string{text}, err, unescaped)
	}
}
