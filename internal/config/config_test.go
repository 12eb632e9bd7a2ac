package config_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tandem/internal/azure/identity"
	"tandem/internal/config"
	"tandem/internal/loadmaster"
	"tandem/internal/pair"
)

var update = flag.Bool("update", false, "write the generated documents instead of comparing them")

const (
	someID = "00000000-0000-0000-0000-00000000000a"
	// connection is a connection string with a key that must never be seen.
	connection = "AccountName=acct;AccountKey=aHVudGVyMg==;EndpointSuffix=core.windows.net"
)

func TestLoadFillsInDefaults(t *testing.T) {
	got, err := config.Load([]string{"AzureWebJobsStorage=" + connection, "PATH=/bin", "IDENTITY_ENDPOINT=http://x"})
	if err != nil {
		t.Fatal(err)
	}
	want := config.Config{
		Listen: "127.0.0.1:7071", Auth: config.AuthKey, MaxMode: pair.Auto, LogLevel: slog.LevelInfo,
		PassBudget: 20 * time.Second, Lease: 30 * time.Second,
		Cloud: config.Public, Store: config.StoreAzure,
		Storage: config.Storage{Connection: connection},
		Secrets: map[string]config.Secret{},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got.UnderHost() || got.Address() != "127.0.0.1:7071" {
		t.Errorf("under host %v at %s, want a program of its own at the default", got.UnderHost(), got.Address())
	}
}

func TestLoadReadsEverySetting(t *testing.T) {
	got, err := config.Load([]string{
		"FUNCTIONS_CUSTOMHANDLER_PORT=40123",
		"TANDEM_LISTEN=[::1]:0",
		"TANDEM_AUTH=entra",
		"TANDEM_MAX_MODE=recommend",
		"TANDEM_LOG_LEVEL=debug",
		"TANDEM_PASS_BUDGET=5s",
		"TANDEM_LEASE=15s",
		"TANDEM_CLOUD=custom",
		"TANDEM_ARM_ENDPOINT=https://management.lab.example/",
		"TANDEM_ARM_AUDIENCE=https://audience.example",
		"TANDEM_AUTHORITY_HOST=https://login.lab.example/adfs",
		"TANDEM_CLIENT_ID=" + someID,
		"TANDEM_OWN_APP_ID=" + someID,
		"TANDEM_OWN_OBJECT_ID=" + someID,
		"TANDEM_CA_FILE=/etc/lab.pem",
		"TANDEM_STORE=azure",
		"TANDEM_STORAGE=" + connection + "\n",
		"TANDEM_TOPIC_ENDPOINT=https://topic.example/api/events",
		"TANDEM_TOPIC_KEY=key",
		"TANDEM_SECRET_LM1_API=abc",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := config.Config{
		HostPort: 40123, Listen: "[::1]:0", Auth: config.AuthEntra, MaxMode: pair.Recommend, LogLevel: slog.LevelDebug,
		PassBudget: 5 * time.Second, Lease: 15 * time.Second,
		Cloud: config.Custom, ARMEndpoint: "https://management.lab.example/", ARMAudience: "https://audience.example",
		Authority: "https://login.lab.example/adfs",
		ClientID:  someID, OwnAppID: someID, OwnObjectID: someID, CAFile: "/etc/lab.pem",
		Store: config.StoreAzure, Storage: config.Storage{Connection: connection},
		TopicEndpoint: "https://topic.example/api/events", TopicKey: "key",
		Secrets: map[string]config.Secret{"TANDEM_SECRET_LM1_API": "abc"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !got.UnderHost() || got.Address() != "127.0.0.1:40123" {
		t.Errorf("under host %v at %s, want the host's port", got.UnderHost(), got.Address())
	}
}

// container is what TANDEM_BACKUPS may hold.
const container = "the name of a container (3 to 63 lower-case letters, digits and single dashes), or its https address, such as https://ACCOUNT.blob.core.windows.net/CONTAINER"

func TestLoadRefuses(t *testing.T) {
	for _, tt := range []struct {
		name    string
		environ string // settings, one on a line
		want    string // the mistakes, one on a line
	}{
		{
			"an unknown setting is answered with the one that was meant", "TANDEM_MAX_MOD=auto",
			`setting TANDEM_MAX_MOD: unknown setting: expected a setting of docs/configuration.md (did you mean TANDEM_MAX_MODE?)`,
		},
		{
			"an unknown setting that resembles none is refused all the same", "TANDEM_WEATHER=red",
			`setting TANDEM_WEATHER: unknown setting: expected a setting of docs/configuration.md`,
		},
		{
			"an unknown mode is refused", "TANDEM_MAX_MODE=unset",
			`setting TANDEM_MAX_MODE: "unset": expected one of observe, recommend, auto`,
		},
		{
			"a port is a port", "FUNCTIONS_CUSTOMHANDLER_PORT=70000",
			`setting FUNCTIONS_CUSTOMHANDLER_PORT: "70000": expected a whole number from 1 to 65535`,
		},
		{
			"we listen to this machine only", "TANDEM_LISTEN=0.0.0.0:7071",
			`setting TANDEM_LISTEN: "0.0.0.0:7071": expected a loopback address with a port, such as 127.0.0.1:7071`,
		},
		{
			"a duration needs a unit", "TANDEM_PASS_BUDGET=20",
			`setting TANDEM_PASS_BUDGET: "20": expected a duration from 1s to 20s`,
		},
		{
			"no invocation waits longer than 20 s", "TANDEM_PASS_BUDGET=21s",
			`setting TANDEM_PASS_BUDGET: "21s": expected a duration from 1s to 20s`,
		},
		{
			"a lease outlives its pass", "TANDEM_PASS_BUDGET=10s\nTANDEM_LEASE=10s",
			`setting TANDEM_LEASE: 10s: expected more than TANDEM_PASS_BUDGET, 10s, because a pass ends before its lease does`,
		},
		{
			"a relation to a wrong setting is not judged", "TANDEM_PASS_BUDGET=x\nTANDEM_LEASE=2s",
			`setting TANDEM_PASS_BUDGET: "x": expected a duration from 1s to 20s`,
		},
		{
			"a custom cloud has an address", "TANDEM_CLOUD=custom",
			`setting TANDEM_ARM_ENDPOINT: unset: expected the address of Resource Manager, because TANDEM_CLOUD is custom`,
		},
		{
			"a known cloud has no address of its own", "TANDEM_CLOUD=china\nTANDEM_AUTHORITY_HOST=https://login.example",
			`setting TANDEM_AUTHORITY_HOST: "https://login.example": expected TANDEM_CLOUD=custom with it, because the addresses of the china cloud are known`,
		},
		{
			"tokens go to https only", "TANDEM_CLOUD=custom\nTANDEM_ARM_ENDPOINT=http://arm.example",
			`setting TANDEM_ARM_ENDPOINT: "http://arm.example": expected an https address with nothing behind the host`,
		},
		{
			"Resource Manager's address ends with its host", "TANDEM_CLOUD=custom\nTANDEM_ARM_ENDPOINT=https://arm.example/x",
			`setting TANDEM_ARM_ENDPOINT: "https://arm.example/x": expected an https address with nothing behind the host`,
		},
		{
			"a container has a name", "TANDEM_BACKUPS=Backups",
			`setting TANDEM_BACKUPS: "Backups": expected ` + container,
		},
		{
			"which has no two dashes in a row", "TANDEM_BACKUPS=back--ups",
			`setting TANDEM_BACKUPS: "back--ups": expected ` + container,
		},
		{
			"the address of a container has one", "TANDEM_BACKUPS=https://safe.blob.core.windows.net/a/b",
			`setting TANDEM_BACKUPS: "https://safe.blob.core.windows.net/a/b": expected ` + container,
		},
		{
			"and a token goes to https only", "TANDEM_BACKUPS=http://safe.blob.core.windows.net/backups",
			`setting TANDEM_BACKUPS: "http://safe.blob.core.windows.net/backups": expected ` + container,
		},
		{
			"an id is a UUID", "TANDEM_CLIENT_ID=me",
			`setting TANDEM_CLIENT_ID: "me": expected a UUID`,
		},
		{
			"a key needs its topic", "TANDEM_TOPIC_KEY=hunter2",
			`setting TANDEM_TOPIC_KEY: [redacted]: expected TANDEM_TOPIC_ENDPOINT with it`,
		},
		{
			"a topic's address has no key in it", "TANDEM_TOPIC_ENDPOINT=https://t.example?aeg-sas-key=x",
			`setting TANDEM_TOPIC_ENDPOINT: [redacted]: expected an https address without user, query and fragment`,
		},
		{
			"an unresolved reference is not a value", "TANDEM_TOPIC_KEY=@Microsoft.KeyVault(SecretUri=https://v/secrets/k/)\nTANDEM_TOPIC_ENDPOINT=https://t.example",
			`setting TANDEM_TOPIC_KEY: an unresolved Key Vault reference: expected the value itself; see that the secret is there and that the app's identity may read it`,
		},
		{
			"an unresolved reference is not a unit's key", "TANDEM_SECRET_LM1_API= @Microsoft.KeyVault(VaultName=v;SecretName=s)",
			`setting TANDEM_SECRET_LM1_API: an unresolved Key Vault reference: expected the value itself; see that the secret is there and that the app's identity may read it`,
		},
		{
			"an unresolved reference is not a connection string", "AzureWebJobsStorage=@Microsoft.KeyVault(VaultName=v;SecretName=s)",
			`setting AzureWebJobsStorage: an unresolved Key Vault reference: expected the value itself; see that the secret is there and that the app's identity may read it`,
		},
		{
			"a malformed credential is not repeated", `TANDEM_SECRET_LM1_API={"apikey":"hunter2","x":1}`,
			`setting TANDEM_SECRET_LM1_API: [redacted]: expected an API key, user:password, or a JSON object with apiKey or user and password; it is not a JSON object with only the texts apiKey, user and password`,
		},
		{
			"a secret's name is in upper case", `TANDEM_SECRET_lm1_api=x`,
			`setting TANDEM_SECRET_lm1_api: an impossible name: expected TANDEM_SECRET_ and the secret's name in upper case, with _ for -`,
		},
		{
			"all mistakes are reported together, by name", "TANDEM_STORE=disk\nTANDEM_CLOUD=moon\nTANDEM_LOG_LEVEL=loud",
			`setting TANDEM_CLOUD: "moon": expected one of public, government, china, custom
setting TANDEM_LOG_LEVEL: "loud": expected one of debug, info, warn, error
setting TANDEM_STORE: "disk": expected one of azure, embedded`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			environ := strings.Split(tt.environ, "\n")
			if !strings.Contains(tt.environ, "AzureWebJobsStorage") {
				environ = append(environ, "AzureWebJobsStorage="+connection)
			}
			_, err := config.Load(environ)
			if err == nil {
				t.Fatalf("Load took\n%s", tt.environ)
			}
			if diff := cmp.Diff(tt.want, err.Error()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if !errors.Is(err, pair.ErrInvalid) {
				t.Error("the error is not of the kind pair.ErrInvalid")
			}
		})
	}
}

func TestStorage(t *testing.T) {
	for _, tt := range []struct {
		name    string
		environ []string
		want    config.Storage
		mistake string // part of the only mistake, if there is one
	}{
		{
			"our own account comes first",
			[]string{"TANDEM_STORAGE=" + connection, "AzureWebJobsStorage=UseDevelopmentStorage=true"},
			config.Storage{Connection: connection},
			"",
		},
		{
			"a connection string comes before an identity",
			[]string{"AzureWebJobsStorage=" + connection, "AzureWebJobsStorage__accountName=acct"},
			config.Storage{Connection: connection},
			"",
		},
		{
			"an account's addresses follow from its name",
			[]string{"AzureWebJobsStorage__accountName=acct"},
			config.Storage{TableURL: "https://acct.table.core.windows.net", QueueURL: "https://acct.queue.core.windows.net"},
			"",
		},
		{
			"an account's addresses follow from the cloud",
			[]string{"AzureWebJobsStorage__accountName=acct", "TANDEM_CLOUD=government"},
			config.Storage{TableURL: "https://acct.table.core.usgovcloudapi.net", QueueURL: "https://acct.queue.core.usgovcloudapi.net"},
			"",
		},
		{
			"China has its own addresses",
			[]string{"AzureWebJobsStorage__accountName=acct", "TANDEM_CLOUD=china"},
			config.Storage{TableURL: "https://acct.table.core.chinacloudapi.cn", QueueURL: "https://acct.queue.core.chinacloudapi.cn"},
			"",
		},
		{
			"written addresses come before the name",
			[]string{"AzureWebJobsStorage__accountName=acct", "AzureWebJobsStorage__tableServiceUri=https://t.example/"},
			config.Storage{TableURL: "https://t.example", QueueURL: "https://acct.queue.core.windows.net"},
			"",
		},
		{
			"the host's identity is ours for its account",
			[]string{"AzureWebJobsStorage__accountName=acct", "AzureWebJobsStorage__clientId=" + someID},
			config.Storage{TableURL: "https://acct.table.core.windows.net", QueueURL: "https://acct.queue.core.windows.net", ClientID: someID},
			"",
		},
		{
			"our identity serves where the host names none",
			[]string{"AzureWebJobsStorage__accountName=acct", "TANDEM_CLIENT_ID=" + someID},
			config.Storage{TableURL: "https://acct.table.core.windows.net", QueueURL: "https://acct.queue.core.windows.net", ClientID: someID},
			"",
		},
		{
			"a shared access signature will do",
			[]string{"TANDEM_STORAGE=TableEndpoint=https://t.example;QueueEndpoint=https://q.example;SharedAccessSignature=sv=1&sig=x"},
			config.Storage{Connection: "TableEndpoint=https://t.example;QueueEndpoint=https://q.example;SharedAccessSignature=sv=1&sig=x"},
			"",
		},
		{
			"a container for backups is one of the account of the state",
			[]string{"TANDEM_STORAGE=" + connection, "TANDEM_BACKUPS=tandem-backups"},
			config.Storage{Connection: connection, Backups: "tandem-backups"},
			"",
		},
		{
			"also where that is reached with an identity",
			[]string{"AzureWebJobsStorage__accountName=acct", "TANDEM_BACKUPS=tandem-backups"},
			config.Storage{TableURL: "https://acct.table.core.windows.net", QueueURL: "https://acct.queue.core.windows.net", Backups: "https://acct.blob.core.windows.net/tandem-backups"},
			"",
		},
		{
			"or one of any account, by its address",
			[]string{"TANDEM_STORAGE=" + connection, "TANDEM_BACKUPS=https://safe.blob.core.windows.net/backups"},
			config.Storage{Connection: connection, Backups: "https://safe.blob.core.windows.net/backups"},
			"",
		},
		{
			"in a custom cloud the address of the blobs must be given",
			[]string{
				"AzureWebJobsStorage__accountName=acct", "AzureWebJobsStorage__queueServiceUri=https://q.example", "AzureWebJobsStorage__tableServiceUri=https://t.example",
				"TANDEM_CLOUD=custom", "TANDEM_ARM_ENDPOINT=https://arm.example", "TANDEM_BACKUPS=backups",
			},
			config.Storage{},
			"setting AzureWebJobsStorage__blobServiceUri: unset",
		},
		{"the embedded store needs no account", []string{"TANDEM_STORE=embedded", "AzureWebJobsStorage=" + connection}, config.Storage{}, ""},
		{"the other store needs one", nil, config.Storage{}, "setting TANDEM_STORAGE: unset"},
		{
			"one address alone is not enough",
			[]string{"AzureWebJobsStorage__tableServiceUri=https://t.example"},
			config.Storage{},
			"setting AzureWebJobsStorage__queueServiceUri: unset",
		},
		{"in a custom cloud a name is not enough", []string{
			"AzureWebJobsStorage__accountName=acct", "AzureWebJobsStorage__queueServiceUri=https://q.example",
			"TANDEM_CLOUD=custom", "TANDEM_ARM_ENDPOINT=https://arm.example",
		}, config.Storage{}, "setting AzureWebJobsStorage__tableServiceUri: unset"},
		{
			"tokens for storage go to https only",
			[]string{"AzureWebJobsStorage__accountName=acct", "AzureWebJobsStorage__tableServiceUri=http://t.example"},
			config.Storage{},
			"setting AzureWebJobsStorage__tableServiceUri: \"http://t.example\"",
		},
		{
			"an account's name is one",
			[]string{"AzureWebJobsStorage__accountName=evil.example/"},
			config.Storage{},
			"setting AzureWebJobsStorage__accountName: \"evil.example/\"",
		},
		{
			"a broken connection string is not repeated",
			[]string{"TANDEM_STORAGE=AccountName=acct;AccountKey"},
			config.Storage{},
			"setting TANDEM_STORAGE: [redacted]: expected a connection string",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := config.Load(tt.environ)
			mistakes, _ := errors.AsType[config.Mistakes](err)
			switch {
			case tt.mistake == "" && err != nil:
				t.Fatal(err)
			case tt.mistake != "" && (len(mistakes) != 1 || !strings.HasPrefix(err.Error(), tt.mistake)):
				t.Fatalf("Load = %v, want one mistake: %s", err, tt.mistake)
			}
			if diff := cmp.Diff(tt.want, got.Storage); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestDevelopmentStorageIsWrittenOut(t *testing.T) {
	got, err := config.Load([]string{"AzureWebJobsStorage=UseDevelopmentStorage=true;"})
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"AccountName=devstoreaccount1;", "BlobEndpoint=http://127.0.0.1:10000/", "QueueEndpoint=http://127.0.0.1:10001/", "TableEndpoint=http://127.0.0.1:10002/"} {
		if !strings.Contains(got.Storage.Connection.Reveal(), part) {
			t.Errorf("the connection string lacks %s", part)
		}
	}
}

func TestSecret(t *testing.T) {
	c, err := config.Load([]string{"TANDEM_STORE=embedded", "TANDEM_SECRET_LM1_API=bal:pass:word", "TANDEM_SECRET_EMPTY="})
	if err != nil {
		t.Fatal(err)
	}
	if value, ok := c.Secret("lm1-api"); value != "bal:pass:word" || !ok {
		t.Errorf("Secret = %q, %v, want what the setting holds", value, ok)
	}
	for _, name := range []string{"lm2-api", "empty", ""} {
		if value, ok := c.Secret(name); value != "" || ok {
			t.Errorf("Secret(%q) = %q, %v, want none", name, value, ok)
		}
	}
}

func TestParseCredential(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       loadmaster.Credentials
		ok         bool
	}{
		{"a key", "0123abcd\n", loadmaster.Credentials{APIKey: "0123abcd"}, true},
		{"a user and a password with a colon and a blank", "bal:pass:word ", loadmaster.Credentials{User: "bal", Password: "pass:word "}, true},
		{"JSON with a key", ` {"apiKey":"k"} `, loadmaster.Credentials{APIKey: "k"}, true},
		{"JSON with all", `{"apiKey":"k","user":"bal","password":"p"}`, loadmaster.Credentials{APIKey: "k", User: "bal", Password: "p"}, true},
		{"nothing", "", loadmaster.Credentials{}, false},
		{"a blank", " ", loadmaster.Credentials{}, false},
		{"a user without a password", "bal:", loadmaster.Credentials{}, false},
		{"a password without a user", ":hunter2", loadmaster.Credentials{}, false},
		{"JSON with nothing", "{}", loadmaster.Credentials{}, false},
		{"JSON with a user alone", `{"user":"bal"}`, loadmaster.Credentials{}, false},
		{"JSON with a misspelt key", `{"api_key":"hunter2"}`, loadmaster.Credentials{}, false},
		{"broken JSON", `{"apiKey":"hunter2"`, loadmaster.Credentials{}, false},
		{"JSON with more behind it", `{"apiKey":"k"} x`, loadmaster.Credentials{}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := config.ParseCredential(tt.text)
			if (err == nil) != tt.ok || loadmaster.Credentials(got) != tt.want {
				t.Errorf("ParseCredential took it: %v, and is right: %v", err == nil, loadmaster.Credentials(got) == tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error repeats the secret: %v", err)
			}
		})
	}
}

func TestSecretsAreNeverPrinted(t *testing.T) {
	c, err := config.Load([]string{
		"TANDEM_STORAGE=AccountName=a;AccountKey=hunter2", "TANDEM_TOPIC_ENDPOINT=https://t.example", "TANDEM_TOPIC_KEY=hunter2",
		"TANDEM_SECRET_LM1_API=bal:hunter2",
	})
	if err != nil {
		t.Fatal(err)
	}
	credential, err := config.ParseCredential("bal:hunter2")
	if err != nil {
		t.Fatal(err)
	}
	operator, err := config.LoadOperator([]string{"TANDEM_KEY=hunter2"})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{c, c.Storage, c.TopicKey, c.Secrets, credential, operator} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			if text := fmt.Sprintf(verb, v); strings.Contains(text, "hunter2") || strings.Contains(text, "68756e746572") {
				t.Errorf("%s of %T shows the secret: %s", verb, v, text)
			}
		}
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "v", v)
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "v", v)
		asJSON, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(log.String()+string(asJSON), "hunter2") {
			t.Errorf("the log or the JSON of %T shows the secret", v)
		}
	}
}

func TestLimitOnlyLowersAMode(t *testing.T) {
	modes := []pair.Mode{pair.ModeUnset, pair.Observe, pair.Recommend, pair.Auto}
	for _, most := range modes[1:] {
		for _, m := range modes {
			got := config.Config{MaxMode: most}.Limit(m)
			if got != min(m, most) {
				t.Errorf("Limit(%v) under %v = %v", m, most, got)
			}
		}
	}
}

func TestLoadOperator(t *testing.T) {
	got, err := config.LoadOperator([]string{"TANDEM_SERVER=http://localhost:7071", "TANDEM_KEY=k", "TANDEM_MAX_MODE=nonsense of the app's"})
	if err != nil || got != (config.Operator{Server: "http://localhost:7071", Key: "k"}) {
		t.Errorf("LoadOperator = %v, %v", got.Server, err)
	}
	if got, err := config.LoadOperator([]string{"TANDEM_SERVER=http://tandem.example"}); err != nil || got.Server != "http://tandem.example" {
		t.Errorf("LoadOperator = %v, %v, want that the client judges it, which knows whether a key is sent", got.Server, err)
	}
	if got, err := config.LoadOperator(nil); err != nil || got != (config.Operator{}) {
		t.Errorf("LoadOperator of nothing = %v, %v, want nothing", got, err)
	}
	for _, server := range []string{"tandem.example", "ftp://localhost", "http://", "https://user:x@tandem.example", "http://tandem.example?code=x"} {
		if _, err := config.LoadOperator([]string{"TANDEM_SERVER=" + server}); err == nil {
			t.Errorf("LoadOperator took the server %s", server)
		}
	}
	if _, err := config.LoadOperator([]string{"TANDEM_SERVRE=https://x"}); err == nil || !strings.Contains(err.Error(), "TANDEM_SERVER?") {
		t.Errorf("LoadOperator = %v, want the setting that was meant", err)
	}
}

func TestCloudsAreThoseOfIdentity(t *testing.T) {
	var got []string
	for _, c := range identity.Clouds {
		got = append(got, c.String())
	}
	want := []string{config.Public.String(), config.Government.String(), config.China.String(), config.Custom.String()}
	if !slices.Equal(got, want) {
		t.Errorf("identity has the clouds %v, config %v", got, want)
	}
}

func TestReferenceIsFresh(t *testing.T) {
	const (
		generated    = "<!-- generated from internal/config by `go test ./internal/config -update` -->\n"
		endGenerated = "<!-- end of generated part -->"
	)
	path := filepath.Join("..", "..", "docs", "configuration.md")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(content), generated)
	_, after, ok2 := strings.Cut(rest, endGenerated)
	if !ok || !ok2 {
		t.Fatalf("%s has lost its markers", path)
	}
	want := before + generated + "\n" + config.Reference() + endGenerated + after
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != string(content) {
		t.Errorf("%s is stale; run: go test ./internal/config -update", path)
	}
}

func TestDocumentShowsRealMessages(t *testing.T) {
	_, err := config.Load([]string{"TANDEM_LEASE=10s", "TANDEM_MAX_MOD=observe", "TANDEM_STORE=embedded"})
	content, readErr := os.ReadFile(filepath.Join("..", "..", "docs", "configuration.md"))
	if readErr != nil {
		t.Fatal(readErr)
	}
	if err == nil || !strings.Contains(string(content), "\n"+err.Error()+"\n") {
		t.Errorf("docs/configuration.md does not show what is printed:\n%v", err)
	}
}

// Every value of local.settings.json is ours and right, or one that the
// Functions host reads.
func TestLocalSettingsAreKnown(t *testing.T) {
	content, err := os.ReadFile(filepath.Join("..", "..", "local.settings.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Values map[string]string }
	if err := json.Unmarshal(content, &file); err != nil {
		t.Fatal(err)
	}
	var environ []string
	for name, value := range file.Values {
		environ = append(environ, name+"="+value)
		ofHost := name == "FUNCTIONS_WORKER_RUNTIME" || strings.HasPrefix(name, "AzureFunctionsJobHost__") ||
			strings.HasPrefix(name, "AzureWebJobs.") // AzureWebJobs.<function>.Disabled
		ofUnit := strings.HasPrefix(name, "TANDEM_SECRET_")
		if !ofHost && !ofUnit && !slices.Contains(config.Names(), name) {
			t.Errorf("local.settings.json has %s, which nobody reads", name)
		}
	}
	if len(environ) == 0 {
		t.Error("local.settings.json has no values")
	}
	if _, err := config.Load(environ); err != nil {
		t.Error(err)
	}
}

func FuzzParseCredential(f *testing.F) {
	for _, seed := range []string{"key", "bal:x", `{"apiKey":"k"}`, "{", ":", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := config.ParseCredential(text)
		usable := got.APIKey != "" || got.User != "" && got.Password != ""
		if usable != (err == nil) {
			t.Errorf("usable %v with the error %v", usable, err)
		}
	})
}
