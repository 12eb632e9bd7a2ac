package events_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tandem/internal/azure/events"
)

// fields are what an event has in either schema.
type fields struct{ id, typ, subject, at, data string }

// inBothSchemas returns the same event as Event Grid's own form and as
// CloudEvents, with the data as it is and, where it is an object, in Base64.
func (e fields) inBothSchemas(t testing.TB) []json.RawMessage {
	t.Helper()
	data := json.RawMessage(e.data)
	forms := []map[string]any{
		{"id": e.id, "eventType": e.typ, "subject": e.subject, "eventTime": e.at, "data": data},
		{"specversion": "1.0", "id": e.id, "type": e.typ, "subject": e.subject, "time": e.at, "data": data},
	}
	if strings.HasPrefix(e.data, "{") {
		forms = append(forms, map[string]any{
			"specversion": "1.0", "id": e.id, "type": e.typ, "subject": e.subject, "time": e.at, "data_base64": []byte(e.data),
		})
	}
	var out []json.RawMessage
	for _, form := range forms {
		b, err := json.Marshal(form)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, b)
	}
	return out
}

// FuzzBothSchemasMeanTheSame writes one event in both schemas: what is read of
// it is the same, and so is whether anything is.
func FuzzBothSchemasMeanTheSame(f *testing.F) {
	const health = "Microsoft.ResourceNotifications.HealthResources."
	const at = "2023-07-24T19:20:37.9245071Z"
	for _, e := range []fields{
		{"1", health + "AvailabilityStatusChanged", string(vm), at, `{"resourceInfo":{"properties":{"availabilityState":"Unavailable"}}}`},
		{"1", health + "ResourceAnnotated", "", at, `{"resourceInfo":{"properties":{"targetResourceId":"` + string(vm) + `","annotationName":"VirtualMachineCrashed","context":"Customer Initiated"}}}`},
		{"1", "Microsoft.Resources.ResourceWriteSuccess", string(lb), at, `{"operationName":"Microsoft.Network/loadBalancers/write","claims":{"appid":"00000000-0000-0000-0000-0000000000bb"}}`},
		{"1", "Microsoft.Resources.ResourceDeleteSuccess", string(nsg), "0001-01-01T00:00:00Z", `{"operationName":"Microsoft.Network/networkSecurityGroups/delete"}`},
		{"1", "microsoft.resources.resourceactionsuccess", string(vm), at, `"{\"operationName\":\"Microsoft.Compute/virtualMachines/start/action\"}"`},
	} {
		f.Add(e.id, e.typ, e.subject, e.at, e.data)
		for _, form := range e.inBothSchemas(f) { // or the same nothing would be read of both
			if got, errs := events.Decode(form); len(errs) > 0 || len(got) != 1 || got[0].VM == nil && got[0].Changed == nil {
				f.Fatalf("a seed that means nothing: %+v, %v, %s", got, errs, form)
			}
		}
	}
	f.Add("", "", "", "", `null`)
	f.Fuzz(func(t *testing.T, id, typ, subject, at, data string) {
		if !json.Valid([]byte(data)) {
			t.Skip()
		}
		forms := fields{id, typ, subject, at, strings.TrimSpace(data)}.inBothSchemas(t)
		want, wantErrs := events.Decode(forms[0])
		for _, form := range forms[1:] {
			got, errs := events.Decode(form)
			if diff := cmp.Diff(want, got); diff != "" || len(errs) != len(wantErrs) {
				t.Errorf("errors %v and %v; %s and %s (-Event Grid +CloudEvents)\n%s", wantErrs, errs, forms[0], form, diff)
			}
		}
	})
}

// FuzzABatchMeansWhatItsEventsMean compares a delivery of many with deliveries
// of one: no event changes what another one means, none is lost, and what is
// kept of each is bounded, whatever it holds.
func FuzzABatchMeansWhatItsEventsMean(f *testing.F) {
	for _, file := range sampleFiles(f) {
		f.Add([]byte(delivery(f, file)))
	}
	f.Add([]byte("[" + annotated("VirtualMachineCrashed", "") + ",null,7,{}," + annotated("VirtualMachineRestarted", "x") + "]"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var items []json.RawMessage
		if json.Unmarshal(raw, &items) != nil {
			t.Skip()
		}
		got, errs := events.Decode(raw)
		if len(got)+len(errs) != len(items) {
			t.Fatalf("%d events and %d errors of %d", len(got), len(errs), len(items))
		}
		var alone []events.Event
		for _, item := range items {
			if item[0] == '{' {
				one, _ := events.Decode(item)
				alone = append(alone, one...)
			}
		}
		if diff := cmp.Diff(alone, got); diff != "" {
			t.Errorf("(-alone +together)\n%s", diff)
		}
		for _, e := range got {
			checkBounds(t, e)
		}
		for _, err := range errs {
			if text := err.Error(); len(text) > 2000 || strings.ContainsAny(text, "\r\n") {
				t.Errorf("not fit to be logged: %q", text)
			}
		}
	})
}

// checkBounds checks that an event holds no more than a row or a log line can
// take. Lower case may be longer than what came.
func checkBounds(t *testing.T, e events.Event) {
	t.Helper()
	if len(e.ID) > 256 || len(e.Type) > 256 || len(e.Subject) > 2*2048 {
		t.Errorf("id of %d, type of %d, subject of %d bytes", len(e.ID), len(e.Type), len(e.Subject))
	}
	if e.VM != nil && len(e.VM.Detail) > 256 {
		t.Errorf("detail of %d bytes", len(e.VM.Detail))
	}
	if c := e.Changed; c != nil && len(c.Operation) > 2*256 {
		t.Errorf("operation of %d bytes", len(c.Operation))
	}
	for _, guid := range []string{e.By.AppID, e.By.ObjectID} {
		if guid != "" && strings.Trim(guid, "0123456789abcdefABCDEF-") != "" {
			t.Errorf("%q is no GUID", guid)
		}
	}
}
