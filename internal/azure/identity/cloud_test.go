package identity

import (
	"errors"
	"testing"

	_ "github.com/Azure/azure-sdk-for-go/sdk/azcore/arm/runtime" // fills azcore's tables in
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/google/go-cmp/cmp"

	"tandem/internal/pair"
)

func TestKnownCloudsAreThoseOfTheSDK(t *testing.T) {
	for known, want := range map[Cloud]cloud.Configuration{
		Public:     cloud.AzurePublic,
		Government: cloud.AzureGovernment,
		China:      cloud.AzureChina,
	} {
		got, err := known.Configuration(CustomCloud{})
		if err != nil {
			t.Fatal(err)
		}
		if got.ActiveDirectoryAuthorityHost != want.ActiveDirectoryAuthorityHost {
			t.Errorf("%s: authority %q, the SDK has %q", known, got.ActiveDirectoryAuthorityHost, want.ActiveDirectoryAuthorityHost)
		}
		if diff := cmp.Diff(want.Services[cloud.ResourceManager], got.Services[cloud.ResourceManager]); diff != "" {
			t.Errorf("%s: Resource Manager (-SDK +ours):\n%s", known, diff)
		}
	}
}

func TestCloudWords(t *testing.T) {
	for _, c := range Clouds {
		text, err := c.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var back Cloud
		if err := back.UnmarshalText(text); err != nil || back != c {
			t.Errorf("%s reads back as %s, %v", text, back, err)
		}
	}
	var c Cloud
	if err := c.UnmarshalText([]byte("Government")); err != nil || c != Government {
		t.Errorf("Government in capitals reads as %s, %v", c, err)
	}
	if err := c.UnmarshalText([]byte("germany")); !errors.Is(err, pair.ErrInvalid) {
		t.Errorf("an unknown cloud gives %v", err)
	}
}

func TestCustomCloud(t *testing.T) {
	tests := []struct {
		name   string
		cloud  Cloud
		custom CustomCloud
		want   cloud.ServiceConfiguration // empty where it is refused
	}{
		{
			"the audience is the endpoint unless it is given", Custom,
			CustomCloud{Endpoint: "https://management.lab/"},
			cloud.ServiceConfiguration{Endpoint: "https://management.lab", Audience: "https://management.lab"},
		},
		{
			"a port and an audience of any form are taken as they are", Custom,
			CustomCloud{Endpoint: "https://management.lab:8443", Audience: "api://stack", Authority: "https://login.lab/adfs"},
			cloud.ServiceConfiguration{Endpoint: "https://management.lab:8443", Audience: "api://stack"},
		},
		{"a custom cloud needs an endpoint", Custom, CustomCloud{}, cloud.ServiceConfiguration{}},
		{"tokens do not travel over http", Custom, CustomCloud{Endpoint: "http://management.lab"}, cloud.ServiceConfiguration{}},
		{"an endpoint has no path", Custom, CustomCloud{Endpoint: "https://management.lab/arm"}, cloud.ServiceConfiguration{}},
		{"an endpoint has no user", Custom, CustomCloud{Endpoint: "https://u:p@management.lab"}, cloud.ServiceConfiguration{}},
		{"an authority is https too", Custom, CustomCloud{Endpoint: "https://management.lab", Authority: "http://login.lab"}, cloud.ServiceConfiguration{}},
		{"a known cloud has no endpoint of its own", Public, CustomCloud{Endpoint: "https://management.lab"}, cloud.ServiceConfiguration{}},
		{"a number that is no cloud is refused", Cloud(9), CustomCloud{}, cloud.ServiceConfiguration{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.cloud.Configuration(tt.custom)
			if tt.want == (cloud.ServiceConfiguration{}) {
				if !errors.Is(err, pair.ErrInvalid) {
					t.Fatalf("got %v, %v; want it refused", got, err)
				}
				return
			}
			if err != nil || got.Services[cloud.ResourceManager] != tt.want || got.ActiveDirectoryAuthorityHost != tt.custom.Authority {
				t.Fatalf("got %+v, %v; want %+v", got, err, tt.want)
			}
		})
	}
}
