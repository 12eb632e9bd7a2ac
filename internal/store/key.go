package store

import (
	"encoding/hex"
	"strings"
	"unicode"
	"unicode/utf8"
)

// keySeparator ends a part of a key that is made of several. Escaped parts
// never contain it, and keyAfter is the character that follows it, so a prefix
// is a range.
const (
	keySeparator = ":"
	keyAfter     = ";"
)

// escape turns any text, such as a resource id, into a part of a key. It can
// be turned back, keeps most texts readable, and stays clear of what Table
// Storage forbids in keys or treats oddly, such as / \ # ? % and quotes
// (azure.md 6.1): each byte of such a character becomes = and two lower-case
// hexadecimal digits.
func escape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if plainRune(r, n) {
			b.WriteString(s[i : i+n])
		} else {
			for _, c := range []byte(s[i : i+n]) {
				b.WriteByte('=')
				b.WriteString(hex.EncodeToString([]byte{c}))
			}
		}
		i += n
	}
	return b.String()
}

// plainRune reports whether escape leaves the character, read from n bytes, as
// it is. Broken UTF-8 is not left, because it would come back changed.
func plainRune(r rune, n int) bool {
	switch {
	case r == utf8.RuneError && n == 1:
		return false
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		return true
	case r < utf8.RuneSelf:
		return strings.ContainsRune("-._~()", r)
	default:
		return unicode.IsPrint(r)
	}
}

// keyRune reports whether a key may hold the character: what escape leaves or
// writes, and the separator.
func keyRune(r rune) bool {
	return r == '=' || r == ':' || plainRune(r, utf8.RuneLen(r))
}
