package identity

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"tandem/internal/pair"
)

// Source is where tokens come from.
type Source uint8

// The sources. Its zero value is none, because nobody should act as somebody
// by accident.
const (
	SourceUnknown Source = iota
	// Managed is the managed identity of the function app. The platform tells
	// where it is by IDENTITY_ENDPOINT and IDENTITY_HEADER, and so does the
	// lab (azure.md 8.1).
	Managed
	// Person is who is signed in at the command line.
	Person
)

func (s Source) String() string {
	switch s {
	case Managed:
		return "managed identity"
	case Person:
		return "signed-in person"
	default:
		return "unknown"
	}
}

// Options say who Tandem is.
type Options struct {
	// Source is required.
	Source Source
	// Cloud is where; see Cloud.Configuration.
	Cloud cloud.Configuration
	// ClientID chooses a user-assigned managed identity. Empty means the
	// system-assigned one.
	ClientID string
	// TenantID chooses a tenant for a person who is in several. Empty means
	// the one that is signed in to.
	TenantID string
	// Transport sends the requests for tokens. Nil means the SDK's own.
	Transport policy.Transporter
}

// New returns the credential for all of Azure's clients of one process; it
// keeps the tokens, so there should be one. New makes no call and starts no
// program.
//
// Its errors are of pair's kinds: ErrRefused when no token is given,
// ErrUnreachable when whoever gives them does not answer or is in trouble, and
// the context's own when that ended.
func New(o Options) (azcore.TokenCredential, error) {
	inner, err := o.credential()
	if err != nil {
		return nil, fmt.Errorf("use the %s: %w: %s", o.Source, pair.ErrInvalid, oneLine(err.Error()))
	}
	return &credential{inner: inner, source: o.Source}, nil
}

func (o Options) credential() (azcore.TokenCredential, error) {
	switch o.Source {
	case Managed:
		return o.managed()
	case Person:
		return o.person()
	default:
		return nil, errors.New("say where tokens come from")
	}
}

// managed does not repeat failed requests: the next pass does, and the SDK
// would sleep inside the pass for up to a minute. A token is asked for long
// before the old one ends, so that a failure costs nothing at first.
func (o Options) managed() (azcore.TokenCredential, error) {
	options := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: policy.ClientOptions{
		Cloud:     o.Cloud,
		Retry:     policy.RetryOptions{MaxRetries: -1},
		Transport: o.Transport,
	}}
	if o.ClientID != "" {
		options.ID = azidentity.ClientID(o.ClientID)
	}
	return azidentity.NewManagedIdentityCredential(options)
}

// person is azidentity's default chain without its managed identity: the
// environment's service principal (as in CI), a workload identity, then the
// tools that a person signs in to. The default chain can be limited only
// by an environment variable; left alone it asks the metadata service of any
// VM that it runs on, and so an operator on a jump host would act as the
// machine.
func (o Options) person() (azcore.TokenCredential, error) {
	if o.ClientID != "" {
		return nil, errors.New("a client id chooses a managed identity and means nothing for a person")
	}
	client := policy.ClientOptions{Cloud: o.Cloud, Transport: o.Transport}
	private := !known(o.Cloud.ActiveDirectoryAuthorityHost)
	var chain []azcore.TokenCredential
	if c, err := azidentity.NewEnvironmentCredential(&azidentity.EnvironmentCredentialOptions{ClientOptions: client, DisableInstanceDiscovery: private}); err == nil {
		chain = append(chain, c) // without its variables it is simply not meant
	}
	if c, err := azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{ClientOptions: client, DisableInstanceDiscovery: private, TenantID: o.TenantID}); err == nil {
		chain = append(chain, c)
	}
	cli, err := azidentity.NewAzureCLICredential(&azidentity.AzureCLICredentialOptions{TenantID: o.TenantID})
	if err != nil {
		return nil, err
	}
	azd, err := azidentity.NewAzureDeveloperCLICredential(&azidentity.AzureDeveloperCLICredentialOptions{TenantID: o.TenantID})
	if err != nil {
		return nil, err
	}
	return azidentity.NewChainedTokenCredential(append(chain, cli, azd), nil)
}

// known reports whether an authority is Microsoft's own, so that the SDK can
// and should look it up before it trusts it.
func known(authority string) bool {
	for _, c := range []Cloud{Public, Government, China} {
		if configured, err := c.Configuration(CustomCloud{}); err == nil && configured.ActiveDirectoryAuthorityHost == authority {
			return true
		}
	}
	return authority == ""
}

// credential gives its inner credential's errors one of pair's kinds and one
// line.
type credential struct {
	inner  azcore.TokenCredential
	source Source
}

// GetToken asks for a token.
func (c *credential) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	token, err := c.inner.GetToken(ctx, o)
	if err == nil {
		return token, nil
	}
	what := fmt.Sprintf("get a token for %s from the %s", strings.Join(o.Scopes, " "), c.source)
	if ctx.Err() != nil {
		return azcore.AccessToken{}, fmt.Errorf("%s: %w", what, ctx.Err())
	}
	return azcore.AccessToken{}, fmt.Errorf("%s: %w: %s", what, c.kind(err), oneLine(err.Error()))
}

// kind tells a refusal from a failure to ask. A managed identity that gave no
// answer, or one of trouble, could not be asked; a person for whom there is no
// answer is not signed in.
func (c *credential) kind(err error) error {
	failed, ok := errors.AsType[*azidentity.AuthenticationFailedError](err)
	if !ok {
		return pair.ErrRefused
	}
	if failed.RawResponse == nil {
		if c.source == Managed {
			return pair.ErrUnreachable
		}
		return pair.ErrRefused
	}
	if s := failed.RawResponse.StatusCode; s >= http.StatusInternalServerError || s == http.StatusTooManyRequests {
		return pair.ErrUnreachable
	}
	return pair.ErrRefused
}

// oneLine folds the SDK's several lines into one and bounds it.
func oneLine(s string) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }), " ")
	s = strings.ReplaceAll(s, strings.Repeat("-", 80), "-")
	const most = 600
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}
