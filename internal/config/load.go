package config

import (
	"cmp"
	"encoding"
	"fmt"
	"net/netip"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"tandem/internal/nearest"
)

const (
	prefix       = "TANDEM_"
	secretPrefix = "TANDEM_SECRET_"
	// unresolved begins a setting whose Key Vault reference the platform could
	// not resolve; it then leaves the reference itself (azure.md 10).
	unresolved = "@Microsoft.KeyVault("
)

// settings is everything that is read of the environment. Other names without
// our prefix belong to the host, to the platform and to azidentity (IDENTITY_…,
// AZURE_…), which read them by themselves.
type settings struct {
	Config   Config
	Host     hostStorage
	Operator Operator
}

// hostStorage is how the Functions host's own storage account is described
// (functions-host.md 4.3).
type hostStorage struct {
	Connection  Secret `setting:"AzureWebJobsStorage" meaning:"Connection string of the host's storage account. UseDevelopmentStorage=true is Azurite on this machine."`
	AccountName string `setting:"AzureWebJobsStorage__accountName" form:"account" meaning:"Name of that account when it is reached with an identity."`
	TableURL    string `setting:"AzureWebJobsStorage__tableServiceUri" form:"https" meaning:"Address of its tables, needed in a custom cloud."`
	QueueURL    string `setting:"AzureWebJobsStorage__queueServiceUri" form:"https" meaning:"Address of its queues, needed in a custom cloud."`
	BlobURL     string `setting:"AzureWebJobsStorage__blobServiceUri" form:"https" meaning:"Address of its blobs, needed in a custom cloud where TANDEM_BACKUPS names a container in it."`
	ClientID    string `setting:"AzureWebJobsStorage__clientId" form:"uuid" meaning:"Client id of the user-assigned identity for it. Unset means TANDEM_CLIENT_ID."`
}

// Load reads the settings of the function app from an environment as os.Environ
// returns it. The error is nil or Mistakes with every wrong setting, an unknown
// one with our prefix included. An empty setting is an unset one.
func Load(environ []string) (Config, error) {
	l := newLoader(environ)
	var s settings
	l.read(reflect.ValueOf(&s).Elem())
	l.unknown()
	s.Config.Secrets = l.secrets()
	l.relations(s.Config)
	if s.Config.Store == StoreAzure {
		s.Config.Storage = l.storage(s)
	} else {
		s.Config.Storage = Storage{}
	}
	if err := l.mistakes.err(); err != nil {
		return Config{}, err
	}
	return s.Config, nil
}

// LoadOperator reads what the operator's commands need from an environment.
// The error is nil or Mistakes.
func LoadOperator(environ []string) (Operator, error) {
	l := newLoader(environ)
	var o Operator
	l.read(reflect.ValueOf(&o).Elem())
	l.unknown()
	if err := l.mistakes.err(); err != nil {
		return Operator{}, err
	}
	return o, nil
}

// loader collects the mistakes of one environment.
type loader struct {
	environ  map[string]string
	wrong    map[string]bool // settings that could not be read
	mistakes Mistakes
}

func newLoader(environ []string) *loader {
	l := &loader{environ: make(map[string]string), wrong: make(map[string]bool)}
	for _, entry := range environ {
		if name, value, ok := strings.Cut(entry, "="); ok && strings.TrimSpace(value) != "" {
			l.environ[name] = value
		}
	}
	return l
}

func (l *loader) mistake(setting, value, expected string) {
	l.wrong[setting] = true
	l.mistakes = append(l.mistakes, Mistake{Setting: setting, Value: value, Expected: expected})
}

// fine reports whether none of the settings was wrong, so that what they are
// together can be judged.
func (l *loader) fine(settings ...string) bool {
	return !slices.ContainsFunc(settings, func(s string) bool { return l.wrong[s] })
}

// read fills in the fields of a struct that have a setting, and those of the
// structs in it.
func (l *loader) read(v reflect.Value) {
	for f, value := range v.Fields() {
		if s, ok := settingOf(f); ok {
			l.setting(s, value)
		} else if f.Type.Kind() == reflect.Struct {
			l.read(value)
		}
	}
}

func (l *loader) setting(s setting, v reflect.Value) {
	text, set := l.environ[s.name]
	if strings.HasPrefix(strings.TrimSpace(text), unresolved) {
		l.unresolved(s.name)
		return
	}
	if !set {
		text = s.byDefault
	}
	text = strings.TrimSpace(text) // blanks and line ends come along when a value is copied
	if text != "" && !s.parse(text, v) {
		l.mistake(s.name, s.shown(text), s.expects())
	}
}

func (l *loader) unresolved(name string) {
	l.mistake(name, "an unresolved Key Vault reference",
		"the value itself; see that the secret is there and that the app's identity may read it")
}

// unknown refuses settings with our prefix that nobody reads, which are mostly
// misspelt ones that would have mattered.
func (l *loader) unknown() {
	known := ours()
	for name := range l.environ {
		ending, ok := strings.CutPrefix(name, prefix)
		if !ok || strings.HasPrefix(name, secretPrefix) || slices.Contains(known, ending) {
			continue
		}
		expected := "a setting of docs/configuration.md"
		if meant, ok := nearest.Word(ending, known); ok {
			expected += " (did you mean " + prefix + meant + "?)"
		}
		l.mistake(name, "unknown setting", expected)
	}
}

var secretForm = regexp.MustCompile(`^TANDEM_SECRET_[A-Z][A-Z0-9_]*$`)

// secrets collects the credentials of the units and checks their form.
func (l *loader) secrets() map[string]Secret {
	out := make(map[string]Secret)
	for name, value := range l.environ {
		if !strings.HasPrefix(name, secretPrefix) {
			continue
		}
		_, err := ParseCredential(value)
		switch {
		case !secretForm.MatchString(name):
			l.mistake(name, "an impossible name", "TANDEM_SECRET_ and the secret's name in upper case, with _ for -")
		case strings.HasPrefix(strings.TrimSpace(value), unresolved):
			l.unresolved(name)
		case err != nil:
			l.mistake(name, redacted, "an API key, user:password, or a JSON object with apiKey or user and password; it is "+err.Error())
		default:
			out[name] = Secret(value)
		}
	}
	return out
}

// relations checks what several settings must be together.
func (l *loader) relations(c Config) {
	if l.fine("TANDEM_LEASE", "TANDEM_PASS_BUDGET") && c.Lease <= c.PassBudget {
		l.mistake("TANDEM_LEASE", c.Lease.String(), "more than TANDEM_PASS_BUDGET, "+c.PassBudget.String()+", because a pass ends before its lease does")
	}
	if c.TopicKey != "" && c.TopicEndpoint == "" && l.fine("TANDEM_TOPIC_ENDPOINT") {
		l.mistake("TANDEM_TOPIC_KEY", redacted, "TANDEM_TOPIC_ENDPOINT with it")
	}
	if !l.fine("TANDEM_CLOUD", "TANDEM_ARM_ENDPOINT") {
		return
	}
	if c.Cloud == Custom && c.ARMEndpoint == "" {
		l.mistake("TANDEM_ARM_ENDPOINT", "unset", "the address of Resource Manager, because TANDEM_CLOUD is custom")
	}
	for _, s := range []struct{ name, value string }{
		{"TANDEM_ARM_ENDPOINT", c.ARMEndpoint}, {"TANDEM_ARM_AUDIENCE", c.ARMAudience}, {"TANDEM_AUTHORITY_HOST", c.Authority},
	} {
		if c.Cloud != Custom && s.value != "" {
			l.mistake(s.name, strconv.Quote(s.value), "TANDEM_CLOUD=custom with it, because the addresses of the "+c.Cloud.String()+" cloud are known")
		}
	}
}

// setting is one setting as the tags of its field describe it.
type setting struct {
	name      string
	byDefault string
	meaning   string
	typ       reflect.Type
	words     []string
	form      string
	min, max  string
}

func settingOf(f reflect.StructField) (setting, bool) {
	name, ok := f.Tag.Lookup("setting")
	return setting{
		name:      name,
		byDefault: f.Tag.Get("default"),
		meaning:   f.Tag.Get("meaning"),
		typ:       f.Type,
		words:     strings.Fields(f.Tag.Get("words")),
		form:      f.Tag.Get("form"),
		min:       f.Tag.Get("min"),
		max:       f.Tag.Get("max"),
	}, ok
}

// all returns the settings of a struct in the order of its fields.
func all(t reflect.Type) []setting {
	var out []setting
	for f := range t.Fields() {
		if s, ok := settingOf(f); ok {
			out = append(out, s)
		} else if f.Type.Kind() == reflect.Struct {
			out = append(out, all(f.Type)...)
		}
	}
	return out
}

// ours returns what follows our prefix in the names of our settings.
func ours() []string {
	var out []string
	for _, s := range all(reflect.TypeFor[settings]()) {
		if ending, ok := strings.CutPrefix(s.name, prefix); ok {
			out = append(out, ending)
		}
	}
	return out
}

func (s setting) secret() bool { return s.typ == reflect.TypeFor[Secret]() }

// shown returns a wrong value for a message, without what may be a key: people
// also write one into an address (?code=…, user:password@…).
func (s setting) shown(text string) string {
	if s.secret() || strings.ContainsAny(text, "?@") {
		return redacted
	}
	const most = 80
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return strconv.Quote(text)
}

// parse sets v to what the text says and reports whether it may say that.
func (s setting) parse(text string, v reflect.Value) bool {
	if len(s.words) > 0 && !slices.Contains(s.words, text) {
		return false
	}
	switch target := v.Addr().Interface().(type) {
	case *time.Duration:
		d, err := time.ParseDuration(text)
		*target = d
		return err == nil && within(d, s.min, s.max, time.ParseDuration)
	case *int:
		i, err := strconv.Atoi(text)
		*target = i
		return err == nil && within(i, s.min, s.max, strconv.Atoi)
	case encoding.TextUnmarshaler:
		return target.UnmarshalText([]byte(text)) == nil
	}
	v.SetString(text)
	return s.form == "" || forms[s.form].fits(text)
}

// within reports whether v is between two limits, which are tags of ours: one
// that cannot be parsed is a fault of the program.
func within[T cmp.Ordered](v T, least, most string, parse func(string) (T, error)) bool {
	low, err1 := parse(least)
	high, err2 := parse(most)
	if err1 != nil || err2 != nil {
		panic(fmt.Sprintf("config: limits %q and %q cannot be read", least, most))
	}
	return low <= v && v <= high
}

// expects says in words what the setting may hold.
func (s setting) expects() string {
	switch {
	case len(s.words) > 0:
		return "one of " + strings.Join(s.words, ", ")
	case s.typ == reflect.TypeFor[time.Duration]():
		return "a duration from " + s.min + " to " + s.max
	case s.min != "":
		return "a whole number from " + s.min + " to " + s.max
	case s.form != "":
		return forms[s.form].expected
	case s.secret():
		return "a secret"
	default:
		return "text"
	}
}

// form is a form of text that a setting may be required to have.
type form struct {
	expected string
	fits     func(string) bool
}

var forms = map[string]form{
	"uuid":     {"a UUID", func(s string) bool { return len(s) == 36 && uuid.Validate(s) == nil }},
	"https":    {"an https address without user, query and fragment", isHTTPS},
	"origin":   {"an https address with nothing behind the host", func(s string) bool { return isHTTPS(s) && isOrigin(s) }},
	"server":   {"an address with https, or with http on this machine or where no key is sent, without user, query and fragment", isServer},
	"loopback": {"a loopback address with a port, such as 127.0.0.1:7071", isLoopback},
	"subnets":  {"networks in CIDR form, separated by commas, such as 10.0.8.0/26", nil}, // Subnets reads itself
	"container": {
		"the name of a container (3 to 63 lower-case letters, digits and single dashes), or its https address, such as https://ACCOUNT.blob.core.windows.net/CONTAINER",
		isContainer,
	},
	"account": {"the name of a storage account: 3 to 24 lower-case letters and digits", regexp.MustCompile(`^[a-z0-9]{3,24}$`).MatchString},
}

// isHTTPS reports whether the text is an address to which a token may be sent.
func isHTTPS(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "https" && isPlain(u)
}

func isPlain(u *url.URL) bool {
	return u.Hostname() != "" && u.User == nil && u.RawQuery == "" && u.Fragment == ""
}

func isOrigin(s string) bool {
	u, err := url.Parse(s)
	return err == nil && strings.Trim(u.Path, "/") == ""
}

var containerName = regexp.MustCompile(`^[a-z0-9](-?[a-z0-9]){2,62}$`)

// isContainer reports whether the text names a container: by its name, or by an
// address to which a token may be sent.
func isContainer(s string) bool {
	u, err := url.Parse(s)
	if err == nil && u.Scheme != "" {
		return isHTTPS(s) && containerName.MatchString(strings.TrimPrefix(u.Path, "/"))
	}
	return len(s) <= 63 && containerName.MatchString(s)
}

// isServer leaves it to internal/api's client, which knows the flags too, where a
// key may travel by http.
func isServer(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && isPlain(u)
}

func isLoopback(s string) bool {
	a, err := netip.ParseAddrPort(s)
	return err == nil && a.Addr().IsLoopback()
}
