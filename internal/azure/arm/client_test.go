package arm

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	azfake "github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"

	"tandem/internal/pair"
)

func TestNewRefuses(t *testing.T) {
	good := &azfake.TokenCredential{}
	tests := []struct {
		name       string
		cloud      cloud.Configuration
		credential azcore.TokenCredential
	}{
		{"a client without a credential", at(home), nil},
		{"a cloud without Resource Manager", cloud.Configuration{}, good},
		{"tokens over plain HTTP", at("http://management.test"), good},
		{"an endpoint that is no address", at("://"), good},
		{"a cloud without an audience", cloud.Configuration{Services: map[cloud.ServiceName]cloud.ServiceConfiguration{
			cloud.ResourceManager: {Endpoint: home},
		}}, good},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := New(Options{Cloud: tt.cloud, Credential: tt.credential})
			checkKind(t, err, pair.ErrInvalid)
		})
	}
}

func TestRetryAfter(t *testing.T) {
	tests := []struct {
		name   string
		header http.Header
		want   time.Duration
	}{
		{"nothing said", header(), 0},
		{"seconds", header("Retry-After", "17"), 17 * time.Second},
		{"a date", header("Retry-After", epoch.Add(time.Minute).Format(http.TimeFormat)), time.Minute},
		{"a date that is past", header("Retry-After", epoch.Add(-time.Minute).Format(http.TimeFormat)), 0},
		{"milliseconds are more exact than seconds", header("Retry-After", "1", "Retry-After-Ms", "250"), 250 * time.Millisecond},
		{"milliseconds under Azure's name", header("X-Ms-Retry-After-Ms", "1500"), 1500 * time.Millisecond},
		{"an absurd wait is bounded", header("Retry-After", "99999999"), time.Hour},
		{"a negative wait is none", header("Retry-After", "-5"), 0},
		{"noise", header("Retry-After", "soon"), 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := retryAfter(&http.Response{Header: tt.header}, epoch); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestForeignTextIsMadeFit(t *testing.T) {
	p := newPlatform(t)
	p.on("GET", vmPath+"/instanceView", reply{status: 400, body: `{"error":{"code":"X\nY","message":"line\r\nline \u0000 ` + strings.Repeat("ä", 5000) + `"}}`})
	_, err := p.client(Options{}).Power(t.Context(), definition().VMID(pair.First))
	checkKind(t, err, pair.ErrInvalid)
	if len(err.Error()) > 1200 {
		t.Errorf("%d bytes", len(err.Error()))
	}
}
