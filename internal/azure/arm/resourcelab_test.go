package arm_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	labarm "tandem/internal/lab/arm"
	"tandem/internal/pair"
)

const (
	inGroup = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-lm/providers/Microsoft.Network/"
	newNSG  = pair.ResourceID(inGroup + "networkSecurityGroups/NSG-lm")
	secondN = pair.ResourceID(inGroup + "networkInterfaces/lm-2-nic")
)

// write writes a document on the version that it was read in, and waits.
func (w *world) write(id pair.ResourceID, doc []byte, etag string) error {
	w.t.Helper()
	op, err := w.client.BeginWrite(w.t.Context(), id, doc, etag, allowed)
	if err != nil {
		return err
	}
	w.client = w.other() // somebody else looks how it ends
	return w.settle(op)
}

func (w *world) read(id pair.ResourceID) (string, string) {
	w.t.Helper()
	doc, etag, err := w.client.Read(w.t.Context(), id)
	if err != nil || etag == "" && id != w.pair.VMID(pair.First) {
		w.t.Fatalf("read %s: %v, ETag %q", id, err, etag)
	}
	return string(doc), etag
}

const emptyGroup = `{"id":"/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-lm/providers/Microsoft.Network/networkSecurityGroups/NSG-lm","location":"westeurope","properties":{}}`

func TestDocumentsInTheLab(t *testing.T) {
	inTheLab(t, labarm.Options{}, func(t *testing.T, w *world) {
		for _, id := range []pair.ResourceID{
			w.pair.LoadBalancerID("lb-lm"), secondN, w.pair.VMID(pair.First),
			inGroup + "virtualNetworks/vnet-lm", inGroup + "virtualNetworks/vnet-lm/subnets/units",
		} {
			if doc, _ := w.read(id); !json.Valid([]byte(doc)) {
				t.Errorf("%s is %s", id, doc)
			}
		}
		id := pair.NewResourceID(string(newNSG))
		if _, _, err := w.client.Read(t.Context(), id); !errors.Is(err, pair.ErrNotFound) {
			t.Errorf("what does not exist gives %v", err)
		}
		if err := w.write(id, []byte(emptyGroup), ""); err != nil {
			t.Fatal(err)
		}
		doc, etag := w.read(id)
		if !strings.Contains(doc, "DenyAllInBound") || !strings.Contains(doc, `"name":"NSG-lm"`) {
			t.Errorf("created: %s", doc)
		}
		if err := w.write(id, []byte(emptyGroup), ""); !errors.Is(err, pair.ErrConflict) {
			t.Errorf("created twice: %v", err)
		}
		if err := w.write(id, []byte(strings.Replace(doc, `"location"`, `"tags":{"a":"b"},"location"`, 1)), etag); err != nil {
			t.Fatal(err)
		}
		if err := w.write(id, []byte(doc), etag); !errors.Is(err, pair.ErrConflict) {
			t.Errorf("written on what somebody has changed: %v", err)
		}
		if now, _ := w.read(id); !strings.Contains(now, `"tags":{"a":"b"}`) {
			t.Errorf("written: %s", now)
		}
	})
}

func TestAnInterfaceJoinsItsLoadBalancer(t *testing.T) {
	inTheLab(t, labarm.Options{}, func(t *testing.T, w *world) {
		doc, etag := w.read(secondN)
		pools := `"loadBalancerBackendAddressPools":[{"id":"` + inGroup + `loadBalancers/lb-lm/backendAddressPools/loadmasters"}],`
		if !strings.Contains(doc, pools) {
			t.Fatalf("the interface is %s", doc)
		}
		before := w.look().ETag
		if err := w.write(secondN, []byte(strings.Replace(doc, pools, "", 1)), etag); err != nil {
			t.Fatal(err)
		}
		seen, err := w.client.LoadBalancer(t.Context(), w.pair, w.pair.LoadBalancers[0], false)
		if err != nil || len(seen.Pools[0].Members) != 1 || seen.Pools[0].ETag == before {
			t.Errorf("left: %+v, %v", seen, err)
		}
		_, etag = w.read(secondN)
		op, err := w.set(first, pair.AdminDown, seen.Pools[0].ETag)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.write(secondN, []byte(doc), etag); !errors.Is(err, pair.ErrBusy) || pair.RetryAfter(err, 0) == 0 {
			t.Errorf("while the pool is written: %v", err)
		}
		if err := w.settle(op); err != nil {
			t.Fatal(err)
		}
		if err := w.write(secondN, []byte(doc), etag); err != nil {
			t.Fatal(err)
		}
		if pool := w.look(); pool.Members[0].Admin != pair.AdminDown || pool.Members[1].Admin != pair.AdminNone {
			t.Errorf("joined: %+v", pool)
		}
	})
}

func TestAWholeWriteSupersedesAndIsSuperseded(t *testing.T) {
	inTheLab(t, labarm.Options{FirstAnswer: labarm.AlwaysUpdating}, func(t *testing.T, w *world) {
		id := w.pair.LoadBalancerID("lb-lm")
		doc, etag := w.read(id)
		early, err := w.client.BeginWrite(t.Context(), id, []byte(doc), etag, allowed)
		if err != nil {
			t.Fatal(err)
		}
		op, err := w.set(second, pair.AdminDown, w.look().ETag)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.settle(early); !errors.Is(err, pair.ErrSuperseded) {
			t.Errorf("the early write ends with %v", err)
		}
		if err := w.settle(op); err != nil {
			t.Error(err)
		}
	})
}

func TestWhatIsUnknownOfADocumentIsSeenByLooking(t *testing.T) {
	for fault, done := range map[labarm.FaultKind]bool{labarm.CutAfter: true, labarm.Cut: false, labarm.Hang: false} {
		t.Run(fault.String(), func(t *testing.T) {
			inTheLab(t, labarm.Options{}, func(t *testing.T, w *world) {
				w.manager.Inject(labarm.Fault{Kind: fault, Method: http.MethodPut})
				ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
				defer cancel()
				if _, err := w.client.BeginWrite(ctx, newNSG, []byte(emptyGroup), "", allowed); !errors.Is(err, pair.ErrUnknownOutcome) {
					t.Fatalf("got %v", err)
				}
				time.Sleep(30 * time.Second)
				if _, _, err := w.client.Read(t.Context(), newNSG); errors.Is(err, pair.ErrNotFound) == done {
					t.Errorf("afterwards: %v", err)
				}
			})
		})
	}
}

func TestListsInTheLab(t *testing.T) {
	for _, size := range []int{0, 1} {
		inTheLab(t, labarm.Options{PageSize: size}, func(t *testing.T, w *world) {
			for kind, want := range map[string]int{
				"Microsoft.Network/loadBalancers": 1, "Microsoft.Network/networkInterfaces": 2, "Microsoft.Compute/virtualMachines": 2,
				"Microsoft.Network/virtualNetworks": 1, "Microsoft.Network/networkSecurityGroups": 0, "Microsoft.Network/publicIPAddresses": 0,
			} {
				all, err := w.client.List(t.Context(), w.pair.Azure.Subscription, "rg-lm", kind)
				if err != nil || len(all) != want {
					t.Errorf("%s: %d, %v; want %d", kind, len(all), err, want)
				}
			}
			if _, err := w.client.List(t.Context(), w.pair.Azure.Subscription, "rg-else", "Microsoft.Network/loadBalancers"); !errors.Is(err, pair.ErrNotFound) {
				t.Errorf("a group that is not there: %v", err)
			}
		})
	}
}

func TestAvailabilityInTheLab(t *testing.T) {
	inTheLab(t, labarm.Options{}, func(t *testing.T, w *world) {
		since := time.Now()
		time.Sleep(90 * time.Second)
		got, err := w.client.Availability(t.Context(), w.pair.LoadBalancerID("lb-lm"), since)
		if err != nil || len(got) != 0 {
			t.Errorf("before the first minute has come: %v, %v", got, err)
		}
		time.Sleep(90 * time.Second)
		got, err = w.client.Availability(t.Context(), w.pair.LoadBalancerID("lb-lm"), since)
		if err != nil || len(got) != 2 || got[first] != 100 || got[second] != 0 {
			t.Errorf("got %v, %v", got, err)
		}
	})
}
