package pair

import (
	"testing"
	"time"
)

func TestRanksHaveWordsAndAnOrder(t *testing.T) {
	if RankUnknown >= RankRepair || RankRepair >= RankFence {
		t.Error("a fence must come before a repair, and both before nothing")
	}
	for _, r := range []Rank{RankRepair, RankFence} {
		b, _ := r.MarshalText() // never fails
		var back Rank
		if err := back.UnmarshalText(b); err != nil || back != r {
			t.Errorf("rank %s is read as %s, %v", r, back, err)
		}
	}
	var r Rank
	if r.UnmarshalText([]byte("emperor")) == nil {
		t.Error("an unknown word was taken for a rank")
	}
}

func TestWhomAWriterKeepsOut(t *testing.T) {
	stands := Writer{Owner: "w1", Pair: "a", Rank: RankRepair, Until: noon.Add(10 * time.Second)}
	tests := []struct {
		name   string
		stands Writer
		other  Writer
		want   time.Duration
	}{
		{"another pair of the same rank waits until it ends, by every clock", stands, Writer{Pair: "b", Rank: RankRepair}, 15 * time.Second},
		{"a higher rank does not", stands, Writer{Pair: "b", Rank: RankFence}, 0},
		{"nor the same pair", stands, Writer{Pair: "a", Rank: RankRepair}, 0},
		{"nobody keeps out nobody", Writer{}, Writer{Pair: "b", Rank: RankRepair}, 0},
		{"what ended keeps out nobody", Writer{Owner: "w1", Pair: "a", Rank: RankRepair, Until: noon.Add(-5 * time.Second)}, Writer{Pair: "b", Rank: RankRepair}, 0},
		{"nor does a time of a clock that was ahead", Writer{Owner: "w1", Pair: "a", Rank: RankRepair, Until: noon.Add(LeaseMax + 1)}, Writer{Pair: "b", Rank: RankRepair}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.stands.KeepsOut(tt.other, noon, 5*time.Second); got != tt.want {
				t.Errorf("keeps out for %v, want %v", got, tt.want)
			}
		})
	}
}
