package loadmaster

import (
	"strings"
	"testing"
)

func TestConnectionsAreThoseOfAllServices(t *testing.T) {
	xml := func(data string) string {
		return `<?xml version="1.0" encoding="ISO-8859-1"?><Response stat="200" code="ok"><Success><Data>` + data + `</Data></Success></Response>`
	}
	example := string(fixture(t, "v1-stats.xml"))
	tests := []struct {
		name string
		body string
		want int
		err  string
	}{
		{name: "the vendor's example has none", body: example, want: 0},
		{name: "its own field counts, not that of the real servers", body: strings.Replace(strings.Replace(example, "<ActiveConns>0", "<ActiveConns>7", 1), "<ActivConns>0", "<ActivConns>5", 1), want: 7},
		{name: "services are added up", body: xml("<VStotals/><Vs><ActiveConns>3</ActiveConns></Vs><Vs><ActiveConns>4</ActiveConns></Vs>"), want: 7},
		{name: "values are padded and quoted", body: xml("<Vs><ActiveConns>\n \"12\" \n</ActiveConns></Vs>"), want: 12},
		{name: "the other spelling counts", body: xml("<Vs><ActivConns>5</ActivConns></Vs>"), want: 5},
		{name: "keys have any case", body: xml("<VS><activeconns>6</activeconns></VS>"), want: 6},
		{name: "JSON has numbers", body: `{"code":200,"VStotals":{},"Vs":[{"Index":1,"ActiveConns":3},{"Index":2,"ActiveConns":4}],"status":"ok"}`, want: 7},
		{name: "JSON has text", body: `{"code":200,"Vs":[{"ActiveConns":"3"}],"status":"ok"}`, want: 3},
		{name: "JSON has one service outside a list", body: `{"code":200,"Vs":{"ActiveConns":8},"status":"ok"}`, want: 8},
		{name: "JSON is nested as XML is", body: `{"code":200,"Success":{"Data":{"Vs":[{"ActiveConns":9}]}},"status":"ok"}`, want: 9},
		{name: "a unit without services carries none", body: xml("<VStotals><TotalConns>0</TotalConns></VStotals>"), want: 0},
		{name: "an empty list is one without services", body: `{"code":200,"VStotals":{"TotalConns":0},"Vs":[],"Rs":null,"status":"ok"}`, want: 0},
		{name: "so is an empty element", body: xml("<VStotals><TotalConns>0</TotalConns></VStotals><Vs>\n</Vs>"), want: 0},

		{name: "a service without the field is not one without connections", body: xml("<Vs><ActiveConns>3</ActiveConns></Vs><Vs><TotalConns>4</TotalConns></Vs>"), err: "found one without"},
		{name: "a field without a number is none", body: xml("<Vs><ActiveConns></ActiveConns></Vs>"), err: `ActiveConns "": expected a number`},
		{name: "a word is none", body: `{"code":200,"Vs":[{"ActiveConns":"many"}]}`, err: `"many"`},
		{name: "fewer than none are none", body: `{"code":200,"Vs":[{"ActiveConns":-1}]}`, err: `"-1"`},
		{name: "more than there can be are none", body: `{"code":200,"Vs":[{"ActiveConns":99999999999999999999}]}`, err: "expected a number"},
		{name: "real servers belong to services", body: xml("<VStotals/><Rs><ActivConns>0</ActivConns></Rs>"), err: "to which the real servers belong"},
		{name: "an answer without statistics is none", body: xml("<ChangeTime>1637849309</ChangeTime>"), err: "found none"},
		{name: "a plain success is none", body: string(fixture(t, "v2-plain-success.json")), err: "found none"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, err := decode(200, []byte(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			got, err := connections(a.data)
			switch {
			case tt.err == "" && (err != nil || got != tt.want):
				t.Errorf("got %d, %v; want %d", got, err, tt.want)
			case tt.err != "" && (err == nil || got != 0 || !strings.Contains(err.Error(), tt.err)):
				t.Errorf("got %d, %v; want an error that says %q", got, err, tt.err)
			}
		})
	}
}
