package manifest

import (
	"fmt"
	"reflect"

	"tandem/internal/pair"
)

// choices returns the words that a file may use for a type with a closed
// set of values, and nil for every other type. It leaves out the words that
// only stored rows use, such as "unset".
func choices(t reflect.Type) []string {
	switch t {
	case reflect.TypeFor[pair.Mode]():
		return words(pair.Observe, pair.Recommend, pair.Auto)
	case reflect.TypeFor[pair.Role]():
		return words(pair.First, pair.Second)
	case reflect.TypeFor[pair.Preference]():
		return words(pair.PreferFirst, pair.PreferNone)
	case reflect.TypeFor[pair.Failback]():
		return words(pair.FailbackUnit, pair.FailbackManaged, pair.FailbackNever)
	case reflect.TypeFor[pair.Scheme]():
		return words(pair.HTTP, pair.HTTPS)
	case reflect.TypeFor[pair.Forwards]():
		return words(pair.ForwardsYes, pair.ForwardsNo, pair.ForwardsUnknown)
	case reflect.TypeFor[pair.Persistence]():
		return words(pair.PersistNone, pair.PersistSourceIP, pair.PersistSourceIPProtocol)
	case reflect.TypeFor[pair.Membership]():
		return words(pair.ByInterface, pair.ByAddress)
	case reflect.TypeFor[pair.ConflictPolicy]():
		return words(pair.ConflictsActive, pair.ConflictsAsk)
	case reflect.TypeFor[pair.Consent]():
		return words(pair.Never, pair.Ask, pair.Allowed)
	default:
		return nil
	}
}

func words[T fmt.Stringer](values ...T) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = v.String()
	}
	return out
}

// guideWord returns the word of the vendor's guide for a role, which is
// accepted wherever the role's own word is (loadmaster.md 2.1), and an empty
// text for every other word.
func guideWord(word string) string {
	switch word {
	case pair.First.String():
		return "master"
	case pair.Second.String():
		return "slave"
	default:
		return ""
	}
}

// ownWord returns Tandem's word where the guide's was written, and every other
// word as it is.
func ownWord(word string) string {
	for _, r := range pair.Roles {
		if word == guideWord(r.String()) {
			return r.String()
		}
	}
	return word
}
