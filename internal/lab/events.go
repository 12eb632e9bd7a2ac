package lab

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"tandem/internal/lab/arm"
	"tandem/internal/lab/eventgrid"
)

// TopicKey is the access key of the custom topic for what the program
// publishes.
const TopicKey = "lab-topic-key"

// buildEvents makes Event Grid, with the custom topic that the program
// publishes to.
func (w *World) buildEvents() error {
	roots := x509.NewCertPool()
	roots.AddCert(w.authority.cert)
	from := w.net.Host("event grid", gridAddr)
	w.grid = eventgrid.New(&http.Client{Transport: &http.Transport{
		DialContext: from.DialContext, DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
	}}, eventgrid.Options{
		Seed: w.Options.Seed*10 + 4, Phase: phase(actorGrid), Delay: 2 * time.Second, Jitter: 3 * time.Second,
	}, w.record.to("event grid"))
	return w.serveTLS(w.net.Host("topic", topicAddr), TopicName, w.watched(TopicName, w.grid.TopicHandler(TopicKey)))
}

// subscribe makes the subscriptions that a deployment has, once the host
// answers the handshake. One of each schema, since both exist.
func (w *World) subscribe(ctx context.Context) error {
	time.Sleep(time.Second) // the host is ready by then
	for _, s := range []eventgrid.Subscription{
		{Name: "vm-health", Schema: eventgrid.CloudEventSchemaV1_0, EventTypes: []string{
			"Microsoft.ResourceNotifications.HealthResources.AvailabilityStatusChanged",
			"Microsoft.ResourceNotifications.HealthResources.ResourceAnnotated",
			"Microsoft.Resources.ResourceActionSuccess", "Microsoft.Resources.ResourceDeleteSuccess",
		}, Endpoint: webhook("VMHealth")},
		{Name: "resource-changed", Schema: eventgrid.EventGridSchema, EventTypes: []string{
			"Microsoft.Resources.ResourceWriteSuccess", "Microsoft.Resources.ResourceDeleteSuccess",
		}, Endpoint: webhook("ResourceChanged")},
	} {
		var err error
		for range 100 {
			if err = w.grid.Subscribe(ctx, s); err == nil {
				break
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(100 * time.Millisecond):
			}
		}
		if err != nil {
			return fmt.Errorf("subscribe %s: %w", s.Name, err)
		}
	}
	return nil
}

func webhook(function string) string {
	return "https://" + AppName + "/runtime/webhooks/EventGrid?functionName=" + function + "&code=" + webhookKey
}

// resourceEvent passes on what Resource Manager tells of its operations.
func (w *World) resourceEvent(e arm.Event) {
	op := eventgrid.Operation{
		Name: e.Operation, ResourceID: e.Subject, CorrelationID: e.CorrelationID, TenantID: e.TenantID, Method: e.HTTPMethod,
		Status: map[string]eventgrid.OperationStatus{"Succeeded": eventgrid.Succeeded, "Failed": eventgrid.Failed, "Canceled": eventgrid.Canceled}[e.Status],
		Claims: map[string]string{"appid": e.Claims.AppID, "http://schemas.microsoft.com/identity/claims/objectidentifier": e.Claims.ObjectID, "name": e.Claims.Name},
	}
	switch {
	case strings.Contains(e.Type, "Write"):
		if e.Claims == Tandem {
			w.record.wrote()
		}
		w.grid.Publish(eventgrid.ResourceWrite(op, e.Time))
	case strings.Contains(e.Type, "Delete"):
		w.grid.Publish(eventgrid.ResourceDelete(op, e.Time))
	default:
		if strings.HasSuffix(e.Operation, "/restart/action") && op.Status == eventgrid.Succeeded {
			w.grid.Report(e.Subject, eventgrid.Available, e.Time)
		}
		w.grid.Publish(eventgrid.ResourceAction(op, e.Time))
	}
}

// wrote counts a write of the program that Resource Manager has finished.
func (t *transcript) wrote() {
	t.mu.Lock()
	t.writes++
	t.mu.Unlock()
}

// available lets Resource Health see that a unit's machine is up; the event is
// raised where that is a change.
func (w *World) available(role string) {
	w.grid.Report(w.plan.vmID(role), eventgrid.Available, time.Now())
}

// unavailable lets Resource Health see that a unit's machine is down, whoever
// wanted that (azure.md 4.1); the event is raised where that is a change.
func (w *World) unavailable(role string) {
	w.grid.Report(w.plan.vmID(role), eventgrid.Unavailable, time.Now())
}

// rebooted tells that somebody had a unit's machine restarted. Who it was is
// not among what Resource Health tells: the program counts as a customer too.
func (w *World) rebooted(role string) {
	w.unavailable(role)
	w.grid.Publish(eventgrid.ResourceAnnotated(w.plan.vmID(role), annotations["VirtualMachineRebootInitiatedByControlPlane"], time.Now()))
}

// deliverDifferently changes how events are delivered from now on.
func deliverDifferently(w *World, st Step) {
	f := eventgrid.Faults{Late: st.Late, Duplicate: max(st.Times-1, 0)}
	words := fmt.Sprintf("from now on events come %v late", st.Late)
	if st.Times > 1 {
		words = fmt.Sprintf("from now on every event comes %d times", st.Times)
	}
	if st.Lose {
		f.Lose = 1
		words = "from now on no event comes at all"
	}
	w.grid.SetFaults(f)
	w.record.log("story", words)
}

// portal acts on a VM as a person does in the portal, through Resource Manager.
func (w *World) portal(role string, action arm.PowerAction) {
	w.person(http.MethodPost, w.plan.vmID(role)+"/"+action.String(), nil)
}

// person makes a request to Resource Manager as a person does in the portal.
func (w *World) person(method, id string, document map[string]any) {
	w.as(Person, method, id, document)
}

// as makes a request to Resource Manager for somebody. A request that nobody
// could make is a mistake in the story; one that is refused because of how
// things are is told.
func (w *World) as(who arm.Principal, method, id string, document map[string]any) {
	status, text, err := w.ask(who, method, id, document)
	switch {
	case err != nil:
		w.fail(who.String() + ": " + err.Error())
	case status == http.StatusBadRequest:
		w.fail(fmt.Sprintf("%s: %s %s: %s", who, method, id, text))
	case status > http.StatusBadRequest:
		w.record.log("story", fmt.Sprintf("which Resource Manager refuses with %d", status))
	}
}

// ask makes a request to Resource Manager for somebody.
func (w *World) ask(who arm.Principal, method, id string, document map[string]any) (int, string, error) {
	var body bytes.Buffer
	if document != nil {
		if err := json.NewEncoder(&body).Encode(document); err != nil {
			return 0, "", err
		}
	}
	req, err := http.NewRequestWithContext(context.Background(), method, "https://"+ManagerName+id+"?api-version=2025-04-01", &body)
	if err != nil {
		return 0, "", err
	}
	now := time.Now()
	req.Header.Set("Authorization", "Bearer "+arm.UnsignedToken(who, "https://"+ManagerName, "", now, now.Add(time.Hour)))
	answer := &answerOnly{header: http.Header{}}
	w.manager.ServeHTTP(answer, req)
	return answer.status, answer.text.String(), nil
}

// answerOnly is an http.ResponseWriter that keeps the answer.
type answerOnly struct {
	header http.Header
	status int
	text   strings.Builder
}

func (a *answerOnly) Header() http.Header         { return a.header }
func (a *answerOnly) Write(b []byte) (int, error) { return a.text.Write(b) }
func (a *answerOnly) WriteHeader(status int)      { a.status = status }

// PublishedEvent is one event that the program published.
type PublishedEvent struct {
	ID      string `json:"id"`
	Type    string `json:"type"`
	Subject string `json:"subject"`
}

// published reads the events of the custom topic, each id once: the topic
// takes repeats, and a subscriber removes them by their id.
func published(g *eventgrid.Grid) []PublishedEvent {
	var out []PublishedEvent
	seen := map[string]bool{}
	for _, raw := range g.Published() {
		var e PublishedEvent
		if err := json.Unmarshal(raw, &e); err == nil && !seen[e.ID] {
			seen[e.ID] = true
			out = append(out, e)
		}
	}
	return out
}
