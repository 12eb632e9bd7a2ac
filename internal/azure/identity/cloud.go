// Package identity says which Azure cloud Tandem works in and who Tandem is
// there: the function app's managed identity, or the person at the command
// line.
//
// It makes values and no call. What the identity may do is given in Azure
// (azure.md 8.2); reading the settings is left to internal/config.
package identity

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"

	"tandem/internal/pair"
)

// Cloud is one of Azure's clouds, or one of its own.
type Cloud uint8

// The clouds. Its zero value is the public one, where almost everybody is.
// Custom is Azure Stack, or the lab.
const (
	Public Cloud = iota
	Government
	China
	Custom
)

// Clouds lists every cloud in the order of its value.
var Clouds = [...]Cloud{Public, Government, China, Custom}

func (c Cloud) String() string {
	switch c {
	case Public:
		return "public"
	case Government:
		return "government"
	case China:
		return "china"
	case Custom:
		return "custom"
	default:
		return fmt.Sprintf("value %d", uint8(c))
	}
}

// MarshalText writes the word of the settings.
func (c Cloud) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads the word of the settings, in any case.
func (c *Cloud) UnmarshalText(b []byte) error {
	for _, known := range Clouds {
		if strings.EqualFold(known.String(), string(b)) {
			*c = known
			return nil
		}
	}
	return fmt.Errorf("cloud %q: %w: expected public, government, china or custom", b, pair.ErrInvalid)
}

// CustomCloud describes the cloud that none of the others is.
type CustomCloud struct {
	// Endpoint is the base address of its Resource Manager, https and nothing
	// behind the host.
	Endpoint string
	// Audience is whom tokens for its Resource Manager are made for. Empty
	// means the endpoint.
	Audience string
	// Authority is the base address of its sign-in service. A managed identity
	// does without, a person does not.
	Authority string
}

// Configuration returns what the SDK's clients need to know of a cloud. The
// custom part must be given for Custom and for no other.
//
// Storage needs none of it: tokens for tables and queues have the same
// audience in all clouds (aztables and azqueue pin https://storage.azure.com),
// and the address of the account comes from the settings. Event Grid's client
// pins the public audience, so a topic elsewhere is used with its key.
func (c Cloud) Configuration(custom CustomCloud) (cloud.Configuration, error) {
	if c != Custom && custom != (CustomCloud{}) {
		return cloud.Configuration{}, fmt.Errorf("configure cloud %s: %w: only a custom cloud has an endpoint of its own", c, pair.ErrInvalid)
	}
	// The addresses stand here and are not taken from azcore, which fills its
	// tables in only where its arm package is linked in.
	switch c {
	case Public:
		return configuration("https://login.microsoftonline.com/", "https://management.azure.com", "https://management.core.windows.net/"), nil
	case Government:
		return configuration("https://login.microsoftonline.us/", "https://management.usgovcloudapi.net", "https://management.core.usgovcloudapi.net/"), nil
	case China:
		return configuration("https://login.chinacloudapi.cn/", "https://management.chinacloudapi.cn", "https://management.core.chinacloudapi.cn/"), nil
	case Custom:
		return custom.configuration()
	default:
		return cloud.Configuration{}, fmt.Errorf("configure cloud %s: %w", c, pair.ErrInvalid)
	}
}

func configuration(authority, endpoint, audience string) cloud.Configuration {
	return cloud.Configuration{
		ActiveDirectoryAuthorityHost: authority,
		Services: map[cloud.ServiceName]cloud.ServiceConfiguration{
			cloud.ResourceManager: {Endpoint: endpoint, Audience: audience},
		},
	}
}

func (c CustomCloud) configuration() (cloud.Configuration, error) {
	if err := checkAddress("endpoint", c.Endpoint); err != nil {
		return cloud.Configuration{}, err
	}
	if c.Authority != "" {
		if err := checkAddress("authority", c.Authority); err != nil {
			return cloud.Configuration{}, err
		}
	}
	endpoint := strings.TrimSuffix(c.Endpoint, "/")
	audience := c.Audience
	if audience == "" {
		audience = endpoint
	}
	return configuration(c.Authority, endpoint, audience), nil
}

// checkAddress takes https addresses only, since tokens travel there. An
// authority may have a path (AD FS has /adfs), an endpoint may not.
func checkAddress(what, address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("configure cloud custom: %s: %w: expected an https address without user, query and fragment", what, pair.ErrInvalid)
	}
	if what == "endpoint" && strings.Trim(u.Path, "/") != "" {
		return fmt.Errorf("configure cloud custom: endpoint: %w: expected nothing behind the host", pair.ErrInvalid)
	}
	return nil
}
