package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"tandem/internal/api"
	"tandem/internal/azure/events"
	"tandem/internal/azure/identity"
	"tandem/internal/balancer"
	"tandem/internal/config"
	"tandem/internal/loadmaster"
	"tandem/internal/pair"
	"tandem/internal/store"
	"tandem/internal/vault"
)

// FromSettings makes the options of the function app from its settings.
func FromSettings(c config.Config, worker string, log *slog.Logger) (Options, error) {
	client, err := azureClient(c.CAFile)
	if err != nil {
		return Options{}, err
	}
	var where identity.Cloud
	if err := where.UnmarshalText([]byte(c.Cloud)); err != nil {
		return Options{}, fmt.Errorf("setting TANDEM_CLOUD: %w", err)
	}
	cloud, err := where.Configuration(customCloud(c))
	if err != nil {
		return Options{}, fmt.Errorf("cloud %s: %w", c.Cloud, err)
	}
	credential, err := identity.New(identity.Options{Source: identity.Managed, Cloud: cloud, ClientID: c.ClientID, Transport: client})
	if err != nil {
		return Options{}, err
	}
	kept, err := newStore(c, credential, client)
	if err != nil {
		return Options{}, err
	}
	backups, err := newVault(c, credential, client)
	if err != nil {
		return Options{}, err
	}
	var auth api.Auth
	if err := auth.UnmarshalText([]byte(c.Auth)); err != nil {
		return Options{}, fmt.Errorf("setting TANDEM_AUTH: %w", err)
	}
	return Options{
		Store: kept, Vault: backups, Secrets: secrets{c}, Credential: credential, Cloud: cloud, Client: client, Proxy: http.ProxyFromEnvironment,
		Topic: c.TopicEndpoint, TopicKey: c.TopicKey.Reveal(), Own: events.Own{AppID: c.OwnAppID, ObjectID: c.OwnObjectID},
		Surroundings: balancer.Surroundings{From: c.Subnets},
		Auth:         auth, Worker: worker, MaxMode: c.MaxMode, Budget: c.PassBudget, Lease: c.Lease, Seed: uint64(time.Now().UnixNano()), Log: log,
	}, nil
}

func customCloud(c config.Config) identity.CustomCloud {
	if c.Cloud != config.Custom {
		return identity.CustomCloud{}
	}
	return identity.CustomCloud{Endpoint: c.ARMEndpoint, Audience: c.ARMAudience, Authority: c.Authority}
}

// azureClient makes the HTTP client for Azure. It follows no redirect, because
// its requests carry tokens.
func azureClient(caFile string) (*http.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile != "" {
		roots, err := x509.SystemCertPool()
		if err != nil {
			return nil, fmt.Errorf("read the system's certificates: %w", err)
		}
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("setting TANDEM_CA_FILE: %w", err)
		}
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("setting TANDEM_CA_FILE: %s holds no PEM certificate: %w", caFile, pair.ErrInvalid)
		}
		transport.TLSClientConfig.RootCAs = roots
	}
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// newStore makes the store that the settings ask for.
func newStore(c config.Config, credential azcore.TokenCredential, client *http.Client) (*store.Store, error) {
	if c.Store == config.StoreEmbedded {
		return store.NewEmbedded(store.EmbeddedOptions{}).Store(store.HandleOptions{}), nil
	}
	return store.NewAzure(store.AzureOptions{
		ConnectionString: c.Storage.Connection.Reveal(), TableEndpoint: c.Storage.TableURL, QueueEndpoint: c.Storage.QueueURL,
		Credential: credential, Transport: client,
	})
}

// newVault makes the place for backups that the settings ask for, nil where they ask
// for none.
func newVault(c config.Config, credential azcore.TokenCredential, client *http.Client) (*vault.Vault, error) {
	switch b := c.Storage.Backups; {
	case c.Store == config.StoreEmbedded:
		return vault.NewMemory().Vault(nil), nil
	case b == "":
		return nil, nil
	case strings.Contains(b, "://"):
		return vault.NewAzure(vault.AzureOptions{URL: b, Credential: credential, Transport: client})
	default:
		return vault.NewAzure(vault.AzureOptions{ConnectionString: c.Storage.Connection.Reveal(), Container: b, Transport: client})
	}
}

// secrets are the units' credentials in the settings.
type secrets struct{ config config.Config }

// Credentials finds the credentials that a pair file names.
func (s secrets) Credentials(_ context.Context, name string) (loadmaster.Credentials, error) {
	text, ok := s.config.Secret(name)
	if !ok {
		return loadmaster.Credentials{}, fmt.Errorf("secret %q: the setting %s is missing", name, config.SecretSetting(name))
	}
	c, err := config.ParseCredential(text)
	if err != nil {
		return loadmaster.Credentials{}, fmt.Errorf("secret %q: setting %s: %w", name, config.SecretSetting(name), err)
	}
	return loadmaster.Credentials(c), nil
}
