package control_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"tandem/internal/control"
	"tandem/internal/pair"
)

// documents are the whole documents of Resource Manager that a pair consists
// of, and its pair file. Nothing differs until a test makes it so.
type documents struct {
	w *world

	mu      sync.Mutex
	of      map[pair.ResourceID]json.RawMessage
	version int
	wrote   []string
	reads   int // of the subnet, which every comparison needs once
	// takes is how long a write runs after it was answered, and ends how it fails
	// then. late is how much later it can be read.
	takes, late time.Duration
	ends        error
	// lies makes writes end with success and change nothing, and makes has another
	// text come of them.
	lies  bool
	makes string
	// onRead and onWrite, if not nil, may fail a request.
	onRead, onWrite func(pair.ResourceID) error

	writes []write
}

// write is a document on its way.
type write struct {
	id                pair.ResourceID
	doc               jsonText
	begun, done, seen time.Time // seen is from when it can be read
}

type jsonText = json.RawMessage

var (
	_ control.Resources = (*documents)(nil)
	_ control.Platform  = (*documentOperations)(nil)
)

// documentOperations knows the operations of documents, too.
type documentOperations struct {
	control.Platform
	docs *documents
}

const documentToken = "document-"

func (p *documentOperations) Poll(ctx context.Context, token string) (pair.Operation, error) {
	text, ours := strings.CutPrefix(token, documentToken)
	if !ours {
		return p.Platform.Poll(ctx, token)
	}
	d := p.docs
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := strconv.Atoi(text)
	switch {
	case err != nil:
		return pair.Operation{}, err
	case time.Now().Before(d.writes[n].done):
		return pair.Operation{Token: token, After: time.Second}, nil
	case d.ends != nil:
		d.writes[n].doc = nil
		return pair.Operation{}, fmt.Errorf("poll %s: %w", token, d.ends)
	default:
		return pair.Operation{Done: true}, nil
	}
}

// settle lets be read what is due. d.mu is held.
func (d *documents) settle() {
	for n := range d.writes {
		if w := &d.writes[n]; w.doc != nil && !time.Now().Before(w.seen) {
			d.of[w.id], w.doc = w.doc, nil
			d.version++
		}
	}
}

// deployed is the pair as a pair file that names everything.
func deployed(d *pair.Definition) {
	d.LoadBalancers[0].Frontends = []pair.Frontend{{Name: "vip", Address: netip.MustParseAddr("10.0.0.100")}}
	d.LoadBalancers[0].Rules = []pair.Rule{{Name: "check", Frontend: "vip", Port: 8444}, {Name: "https", Frontend: "vip", Port: 443}}
	*d = d.WithDefaults()
}

// deploy makes documents of a pair as the program itself would.
func (w *world) deploy() *documents {
	w.t.Helper()
	snap := w.load()
	d := snap.Definition
	subnet := "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/net/subnets/default"
	docs := &documents{w: w, of: map[pair.ResourceID]json.RawMessage{
		pair.NewResourceID(subnet): json.RawMessage(fmt.Sprintf(`{"id":%q,"properties":{"addressPrefix":"10.0.0.0/24"}}`, subnet)),
	}}
	for _, r := range pair.Roles {
		u := d.Units.Of(r)
		nic := "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/networkInterfaces/" + u.VM + "-nic"
		docs.of[d.VMID(r)] = json.RawMessage(fmt.Sprintf(
			`{"id":%q,"location":"westeurope","properties":{"availabilitySet":{"id":"/set"},"networkProfile":{"networkInterfaces":[{"id":%q}]}}}`, d.VMID(r), nic))
		docs.of[pair.NewResourceID(nic)] = json.RawMessage(fmt.Sprintf(
			`{"id":%q,"location":"westeurope","properties":{"virtualMachine":{"id":%q},"ipConfigurations":[{"name":"ip","id":"%s/ipConfigurations/ip",`+
				`"properties":{"privateIPAddress":%q,"primary":true,"subnet":{"id":%q}}}]}}`, nic, d.VMID(r), nic, u.Address, subnet))
	}
	c := w.controller(&effects{}, func(o *control.Options) { o.Resources = docs })
	plan, refusals, err := c.Plan(w.t.Context(), d)
	if err != nil || len(refusals) > 0 {
		w.t.Fatalf("plan the pair: %v %v", err, refusals)
	}
	for _, s := range plan.Steps {
		if docs.of[s.Resource], err = s.Edit(docs.of[s.Resource]); err != nil {
			w.t.Fatal(err)
		}
	}
	if plan, _, err = c.Plan(w.t.Context(), d); err != nil || !plan.Empty() {
		w.t.Fatalf("a pair that was just deployed differs: %+v, %v", plan, err)
	}
	return docs
}

// edit changes a document as somebody does in the portal.
func (d *documents) edit(id pair.ResourceID, was, now string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !bytes.Contains(d.of[id], []byte(was)) {
		d.w.t.Fatalf("%s holds no %s: %s", id, was, d.of[id])
	}
	d.of[id] = bytes.Replace(d.of[id], []byte(was), []byte(now), 1)
	d.version++
}

// ilb is the pair's load balancer.
func ilb() pair.ResourceID {
	d := definition()
	return d.LoadBalancerID("ilb")
}

// drifted changes a load balancer's probe, which one write puts right.
func (d *documents) drifted() { d.edit(ilb(), `"requestPath":"/"`, `"requestPath":"/x"`) }

func (d *documents) Read(_ context.Context, id pair.ResourceID) (jsonText, string, error) {
	d.mu.Lock()
	onRead := d.onRead
	d.mu.Unlock()
	if onRead != nil {
		if err := onRead(id); err != nil {
			return nil, "", err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.settle()
	if id.Name() == "default" {
		d.reads++
	}
	doc := d.of[id]
	if doc == nil {
		return nil, "", fmt.Errorf("read %s: %w", id, pair.ErrNotFound)
	}
	return doc, strconv.Itoa(d.version), nil
}

func (d *documents) BeginWrite(ctx context.Context, id pair.ResourceID, doc []byte, etag string, last func(context.Context) error) (pair.Operation, error) {
	d.mu.Lock()
	d.settle()
	conflict := etag != strconv.Itoa(d.version)
	onWrite := d.onWrite
	d.mu.Unlock()
	if conflict {
		return pair.Operation{}, fmt.Errorf("write %s: %w", id, pair.ErrConflict)
	}
	if err := last(ctx); err != nil {
		return pair.Operation{}, err
	}
	if onWrite != nil {
		if err := onWrite(id); err != nil {
			return pair.Operation{}, fmt.Errorf("write %s: %w", id, err)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wrote = append(d.wrote, id.Name())
	w := write{id: id, doc: doc, begun: time.Now(), done: time.Now().Add(d.takes), seen: time.Now().Add(d.takes + d.late)}
	if d.lies {
		w.doc = nil
	}
	if d.makes != "" {
		w.doc = bytes.Replace(w.doc, []byte(`"requestPath":"/"`), []byte(`"requestPath":`+d.makes), 1)
	}
	d.writes = append(d.writes, w)
	d.settle()
	if d.takes > 0 {
		return pair.Operation{Token: documentToken + strconv.Itoa(len(d.writes)-1), After: time.Second}, nil
	}
	return pair.Operation{Done: true}, nil
}
