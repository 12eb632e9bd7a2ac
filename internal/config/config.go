// Package config is the only reader of the environment. It turns the settings
// of the function app into one checked value, says everything that is wrong
// with them at once, and keeps secrets from being printed.
//
// A default gives way to a setting, and a setting to what the pair file says
// of its own pair, except that TANDEM_MAX_MODE can only lower a pair's mode.
// Making clients out of the values is left to internal/app.
package config

import (
	"cmp"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"tandem/internal/pair"
)

// Config is what the settings of the function app say. Its tags are the
// source of docs/configuration.md: the setting's name, its default, its
// meaning, and what a higher and a lower value do.
type Config struct {
	// HostPort is the port that the Functions host chose for the handler, and
	// 0 when the program was not started by the host (functions-host.md 1.2).
	HostPort int `setting:"FUNCTIONS_CUSTOMHANDLER_PORT" min:"1" max:"65535" meaning:"Port on 127.0.0.1 on which the Functions host calls. The host sets it; nobody else should."`
	// Listen is where to listen without a host; see Address.
	Listen string `setting:"TANDEM_LISTEN" default:"127.0.0.1:7071" form:"loopback" meaning:"Where tandem serve listens when it was not started by the Functions host. Only a loopback address is taken, because it is the host that checks keys and identities."`

	Auth Auth `setting:"TANDEM_AUTH" default:"key" words:"key entra" meaning:"What is believed about who calls the operator API. key: whoever has a function key is an operator and says who it is; nobody may force a job. entra: name and roles (Tandem.Reader, Tandem.Operator, Tandem.Force) are those of the token that App Service authentication has checked. Set entra only where that authentication is switched on and refuses whoever is not signed in: without it, anybody with a function key could write the header that it sets."`

	// MaxMode lowers the mode of every pair; see Limit.
	MaxMode    pair.Mode     `setting:"TANDEM_MAX_MODE" default:"auto" words:"observe recommend auto" meaning:"The most that any pair may do by itself. Lower makes pairs with a higher mode behave like this one, at once and for all; it never raises a pair's mode."`
	LogLevel   slog.Level    `setting:"TANDEM_LOG_LEVEL" default:"info" words:"debug info warn error" meaning:"The least important lines that are logged. info has the story of every pass, warn what somebody should look at this week, error what somebody should look at now."`
	PassBudget time.Duration `setting:"TANDEM_PASS_BUDGET" default:"20s" min:"1s" max:"20s" meaning:"How long one pass over a pair may take. Lower gives up sooner on a slow unit or a slow Azure and comes back to it with the next message; 20s is the longest that an invocation may wait."`
	Lease      time.Duration `setting:"TANDEM_LEASE" default:"30s" min:"2s" max:"5m" meaning:"How long a pass holds its pair against other workers; longer than TANDEM_PASS_BUDGET, so that a pass ends before its lease does. Higher forgives larger differences between clocks but leaves a pair alone for longer when a worker dies; lower is the other way round."`

	Subnets Subnets `setting:"TANDEM_SUBNETS" form:"subnets" meaning:"Subnets from which this function app asks the units: its integration subnet. The security groups of the pairs must let check port and API in from there. Unset means that no rule is made for it, and none is taken away."`

	Cloud       Cloud  `setting:"TANDEM_CLOUD" default:"public" words:"public government china custom" meaning:"The Azure cloud in which the pairs are. custom is Azure Stack, or the lab, and takes the next three settings."`
	ARMEndpoint string `setting:"TANDEM_ARM_ENDPOINT" form:"origin" meaning:"Base address of Resource Manager in a custom cloud."`
	ARMAudience string `setting:"TANDEM_ARM_AUDIENCE" meaning:"Whom tokens for that Resource Manager are made for. Unset means TANDEM_ARM_ENDPOINT."`
	Authority   string `setting:"TANDEM_AUTHORITY_HOST" form:"https" meaning:"Base address of the sign-in service in a custom cloud. A managed identity does without."`
	ClientID    string `setting:"TANDEM_CLIENT_ID" form:"uuid" meaning:"Client id of a user-assigned managed identity. Unset means the system-assigned one."`
	OwnAppID    string `setting:"TANDEM_OWN_APP_ID" form:"uuid" meaning:"Application (client) id of our own identity, by which events of our own writes are recognised. With neither this nor the next, our own writes wake us once more, which costs a pass and does no harm."`
	OwnObjectID string `setting:"TANDEM_OWN_OBJECT_ID" form:"uuid" meaning:"Object (principal) id of our own identity, for the same."`
	CAFile      string `setting:"TANDEM_CA_FILE" meaning:"File with PEM certificates that are trusted besides the system's for Resource Manager and the topic, as the lab needs. Units are trusted by the pair file alone."`

	Store   StoreKind `setting:"TANDEM_STORE" default:"azure" words:"azure embedded" meaning:"Where state is kept. azure is Table Storage and queues; embedded is the memory of this process, for trying out, and is gone when it ends."`
	Storage Storage

	Backups string `setting:"TANDEM_BACKUPS" form:"container" meaning:"Where backups of the units are kept: the name of a container in the account of Tandem's state, or the https address of a container in any account, which is opened with the managed identity. The container must exist; the identity needs Storage Blob Data Contributor on it, and nobody else should read it, because backups hold the units' secrets. Unset means that none can be taken; with TANDEM_STORE=embedded they are kept in memory, whatever this says."`

	TopicEndpoint string `setting:"TANDEM_TOPIC_ENDPOINT" form:"https" meaning:"Address of the Event Grid topic that is told what happened to the pairs. Unset means that nobody is told."`
	TopicKey      Secret `setting:"TANDEM_TOPIC_KEY" meaning:"Access key of that topic. Unset means that the managed identity is used, which is better where the cloud allows it."`

	// Secrets holds the values of the settings TANDEM_SECRET_… by the name of
	// the setting; see Secret.
	Secrets map[string]Secret
}

// Subnets are networks in CIDR form, separated by commas.
type Subnets []netip.Prefix

// UnmarshalText reads the form of the setting.
func (s *Subnets) UnmarshalText(b []byte) error {
	var all Subnets
	for part := range strings.SplitSeq(string(b), ",") {
		p, err := netip.ParsePrefix(strings.TrimSpace(part))
		if err != nil || p != p.Masked() {
			return fmt.Errorf("network %q: expected CIDR form such as 10.0.8.0/26", part)
		}
		all = append(all, p)
	}
	*s = all
	return nil
}

// Storage says where the storage account is: a connection string, or both
// addresses with the managed identity. It is empty for the embedded store.
type Storage struct {
	// Connection is the connection string of the account.
	Connection Secret `setting:"TANDEM_STORAGE" meaning:"Connection string of the storage account for Tandem's state. Unset means the host's own account, as the AzureWebJobsStorage settings describe it."`
	// TableURL and QueueURL are the account's addresses, without a slash at
	// the end, when it is reached with an identity.
	TableURL, QueueURL string
	// Backups is the container for backups: its address, or its name in the account of
	// Connection; empty for none.
	Backups string
	// ClientID is the user-assigned identity for the account, empty for the
	// system-assigned one.
	ClientID string
}

// Cloud is one of Azure's clouds, in the words of internal/azure/identity.
type Cloud string

// The clouds.
const (
	Public     Cloud = "public"
	Government Cloud = "government"
	China      Cloud = "china"
	Custom     Cloud = "custom"
)

// String returns the word of the setting.
func (c Cloud) String() string { return string(c) }

// storageSuffix returns the end of the names of storage endpoints, and an
// empty text for a custom cloud, where only its operator knows it.
func (c Cloud) storageSuffix() string {
	switch c {
	case Public:
		return "core.windows.net"
	case Government:
		return "core.usgovcloudapi.net"
	case China:
		return "core.chinacloudapi.cn"
	default:
		return ""
	}
}

// Auth is what the operator API believes about who calls.
type Auth string

// The ways to know who calls.
const (
	AuthKey   Auth = "key"
	AuthEntra Auth = "entra"
)

// String returns the word of the setting.
func (a Auth) String() string { return string(a) }

// StoreKind is where state is kept.
type StoreKind string

// The stores.
const (
	StoreAzure    StoreKind = "azure"
	StoreEmbedded StoreKind = "embedded"
)

// String returns the word of the setting.
func (k StoreKind) String() string { return string(k) }

// Operator is what the operator's commands read; they run on a person's
// machine and need nothing of Config.
type Operator struct {
	Server string `setting:"TANDEM_SERVER" form:"server" meaning:"Address of the function app, for the operator's commands; the flag --server comes first."`
	Key    Secret `setting:"TANDEM_KEY" meaning:"Function key with which they call it; the flag --key comes first."`
	Token  Secret `setting:"TANDEM_TOKEN" meaning:"Token of Entra ID for the function app, where its TANDEM_AUTH is entra; the flag --token comes first. az account get-access-token --resource with the app's identifier prints one."`
}

// UnderHost reports whether the Functions host started the program.
func (c Config) UnderHost() bool { return c.HostPort != 0 }

// Address returns where to listen: where the Functions host will call, exactly
// 127.0.0.1 and its port (functions-host.md 1.3), or else Listen.
func (c Config) Address() string {
	if c.UnderHost() {
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(c.HostPort))
	}
	return c.Listen
}

// Limit returns the mode in which a pair runs that asks for the given one: the
// lower of it and MaxMode.
func (c Config) Limit(m pair.Mode) pair.Mode { return min(m, c.MaxMode) }

// Secret returns the secret that a pair file calls by the name, and false when
// no setting holds it. The name lm1-api belongs to TANDEM_SECRET_LM1_API.
func (c Config) Secret(name string) (string, bool) {
	s, ok := c.Secrets[SecretSetting(name)]
	return s.Reveal(), ok
}

// SecretSetting returns the name of the setting that holds a secret.
func SecretSetting(name string) string {
	return secretPrefix + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// Mistake is one wrong setting.
type Mistake struct {
	Setting string `json:"setting"`
	// Value is what was set, quoted, or [redacted] where it is a secret.
	Value string `json:"value"`
	// Expected completes the words "expected …", with the reason where it is
	// not plain.
	Expected string `json:"expected"`
}

// Error returns the mistake on one line.
func (m Mistake) Error() string {
	return "setting " + m.Setting + ": " + m.Value + ": expected " + m.Expected
}

// Mistakes are all wrong settings, by name. As an error they are of the kind
// pair.ErrInvalid.
type Mistakes []Mistake

// Error returns the mistakes, one on a line.
func (ms Mistakes) Error() string {
	lines := make([]string, len(ms))
	for i, m := range ms {
		lines[i] = m.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns pair.ErrInvalid, the kind that callers act on.
func (ms Mistakes) Unwrap() error { return pair.ErrInvalid }

// err returns the mistakes in the order of their settings, and nil when there
// are none.
func (ms Mistakes) err() error {
	if len(ms) == 0 {
		return nil
	}
	slices.SortStableFunc(ms, func(a, b Mistake) int { return cmp.Compare(a.Setting, b.Setting) })
	return ms
}
