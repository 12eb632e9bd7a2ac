package loadmaster

import (
	"strings"
	"testing"
)

func TestServicesAreComparedByPortAndProtocol(t *testing.T) {
	xml := func(data string) string {
		return `<?xml version="1.0" encoding="ISO-8859-1"?><Response stat="200" code="ok"><Success><Data>` + data + `</Data></Success></Response>`
	}
	tests := []struct {
		name string
		body string
		want string
		err  string
	}{
		{name: "the vendor's example has one", body: string(fixture(t, "v1-stats.xml")), want: "80/tcp"},
		{name: "they are in order, whatever their numbers and addresses", body: xml("<Vs><VSAddress>10.0.0.5</VSAddress><VSPort>443</VSPort><VSProt>tcp</VSProt><Index>2</Index></Vs><Vs><VSPort>25</VSPort><VSProt>TCP</VSProt></Vs>"), want: "25/tcp 443/tcp"},
		{name: "JSON has numbers", body: `{"code":200,"VStotals":{},"Vs":[{"VSPort":443,"VSProt":"udp"}],"status":"ok"}`, want: "443/udp"},
		{name: "a unit without services has none", body: xml("<VStotals><TotalConns>0</TotalConns></VStotals><Vs>\n</Vs>"), want: ""},
		{name: "one without a port is not known", body: xml("<VStotals/><Vs><VSProt>tcp</VSProt></Vs>"), err: "found one without"},
		{name: "an answer without statistics is none", body: xml("<ChangeTime>1637849309</ChangeTime>"), err: "found none"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, err := decode(200, []byte(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			got, err := servicesIn(a.data)
			switch {
			case tt.err == "" && (err != nil || strings.Join(got, " ") != tt.want):
				t.Errorf("got %q, %v; want %q", got, err, tt.want)
			case tt.err != "" && (err == nil || got != nil || !strings.Contains(err.Error(), tt.err)):
				t.Errorf("got %q, %v; want an error that says %q", got, err, tt.err)
			}
		})
	}
}
