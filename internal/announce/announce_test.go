package announce_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tandem/internal/announce"
	"tandem/internal/pair"
)

var (
	noon = time.Date(2026, 9, 23, 12, 0, 0, 0, time.UTC)

	fence = pair.Intent{
		V: 1, MinReader: 1, ID: pair.ID("edge-weu", 42, 1), Epoch: 42, Kind: pair.IntentFence,
		LoadBalancer: "ilb-edge", Pool: "loadmasters", Unit: pair.Second, Want: pair.AdminDown,
		Deadline: noon.Add(5 * time.Minute), Reason: "both units answer 200 and first is preferred",
		Token: "resume-token", Attempts: 2, LastErr: "write pool: throttled",
	}
)

func TestPostBody(t *testing.T) {
	oddTime := noon.Add(123456789 * time.Nanosecond).In(time.FixedZone("CEST", 7200))
	tests := []struct {
		name string
		data announce.Data
		want string
	}{
		{
			"times are written as UTC milliseconds",
			announce.SituationChanged{Pair: "edge-weu", From: pair.Healthy, To: pair.BothActive, Since: oddTime, Decision: "edge-weu-000000000042-000", Reason: "both answer 200", Epoch: 42},
			`{"pair":"edge-weu","from":"healthy","to":"both active","since":"2026-09-23T12:00:00.123Z","decision":"edge-weu-000000000042-000","reason":"both answer 200","epoch":42}`,
		},
		{
			"an intent's token, attempts and last error are not published",
			announce.ActionDone{Pair: "edge-weu", Action: announce.ActionOf(fence), At: oddTime},
			`{"pair":"edge-weu","intent":"edge-weu-000000000042-001","kind":"fence","loadBalancer":"ilb-edge","pool":"loadmasters","unit":"second","adminState":"Down","epoch":42,"reason":"both units answer 200 and first is preferred","at":"2026-09-23T12:00:00.123Z"}`,
		},
		{
			"what an action does not touch is absent, not empty",
			announce.ActionAbandoned{Pair: "edge-weu", Action: announce.ActionOf(pair.Intent{ID: "edge-weu-000000000043-001", Epoch: 43, Kind: pair.IntentRelease, Reason: "expired"}), Why: "a newer epoch stands", At: noon},
			`{"pair":"edge-weu","intent":"edge-weu-000000000043-001","kind":"release","epoch":43,"reason":"expired","why":"a newer epoch stands","at":"2026-09-23T12:00:00Z"}`,
		},
		{
			"a plan lists its actions in order",
			announce.PlanOf("edge-weu", pair.Plan{Hash: "9f2c", Decision: "edge-weu-000000000042-000", Row: "both active", Reason: "both answer 200", At: noon, Intents: []pair.Intent{fence}}),
			`{"pair":"edge-weu","hash":"9f2c","decision":"edge-weu-000000000042-000","reason":"both answer 200","intents":[{"intent":"edge-weu-000000000042-001","kind":"fence","loadBalancer":"ilb-edge","pool":"loadmasters","unit":"second","adminState":"Down","epoch":42,"reason":"both units answer 200 and first is preferred"}]}`,
		},
		{
			"a plan without actions has an empty list, never null",
			announce.PlanStored{Pair: "edge-weu"},
			`{"pair":"edge-weu","hash":"","decision":"","reason":"","intents":[]}`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := announce.Post("edge-weu-000000000042-007", noon, tt.data)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, string(p.Body)); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPostEnvelope(t *testing.T) {
	p, err := announce.Post("edge-weu-000000000042-007", noon.Add(time.Microsecond).In(time.FixedZone("CEST", 7200)), announce.ActionDone{})
	if err != nil {
		t.Fatal(err)
	}
	p.Body = nil
	want := pair.Post{
		V: pair.Version, MinReader: pair.MinReader, ID: "edge-weu-000000000042-007",
		Kind: pair.PostEvent, At: noon, Type: announce.TypeActionDone,
	}
	if diff := cmp.Diff(want, p); diff != "" {
		t.Errorf("post (-want +got):\n%s", diff)
	}
}

func TestPostOfAnImpossibleTimeIsAnError(t *testing.T) {
	_, err := announce.Post("edge-weu-000000000042-007", noon, announce.ActionDone{At: time.Date(12345, 1, 1, 0, 0, 0, 0, time.UTC)})
	if err == nil || !strings.Contains(err.Error(), "edge-weu-000000000042-007") {
		t.Errorf("error = %v, want one that names the event", err)
	}
}
