package store

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azqueue"

	"tandem/internal/pair"
)

// AzureOptions say which storage account is used and how. Either
// ConnectionString is set, or both endpoints and the credential.
type AzureOptions struct {
	// ConnectionString names an account with its key, as for Azurite.
	ConnectionString string
	// TableEndpoint and QueueEndpoint are the account's URLs, such as
	// https://ACCOUNT.table.core.windows.net; other clouds have other names.
	TableEndpoint, QueueEndpoint string
	// Credential is the identity. Because tables and queues are made when they
	// are first used, it needs Storage Table Data Contributor and Storage Queue
	// Data Contributor. Its audience is the same in all clouds.
	Credential azcore.TokenCredential

	// Transport sends the requests; nil means HTTP with the system's proxy.
	Transport policy.Transporter
	// Timeout bounds one request with its retries, 10 s when 0. A write that
	// takes longer has an unknown outcome.
	Timeout time.Duration
	// Now is the clock for claims and idempotency keys; nil means time.Now.
	Now func() time.Time
}

const (
	defaultTimeout = 10 * time.Second
	// readRetries is how often a read is repeated that got no answer, or an
	// answer that asks to try again. Writes are never repeated: after a lost
	// answer the repetition would fail on its own success.
	readRetries  = 2
	readDelay    = 100 * time.Millisecond
	maxReadDelay = 2 * time.Second
	// maxAnswer bounds what is read of an answer. A page of rows is the
	// largest; the service keeps it to a few MiB.
	maxAnswer = 64 << 20
)

// azure is the backend in Table Storage and Azure queues.
type azure struct {
	tables  *aztables.ServiceClient
	queues  *azqueue.ServiceClient
	timeout time.Duration
}

var _ backend = (*azure)(nil)

// NewAzure returns a store in Table Storage and Azure queues. It makes no
// call. The error is pair.ErrInvalid when the options do not name an account;
// it does not repeat a connection string.
func NewAzure(opts AzureOptions) (*Store, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Timeout == 0 {
		opts.Timeout = defaultTimeout
	}
	if opts.Transport == nil {
		opts.Transport = newClient()
	}
	common := azcore.ClientOptions{
		Transport:        bounded{opts.Transport},
		Retry:            policy.RetryOptions{MaxRetries: -1},
		PerRetryPolicies: []policy.Policy{batchPolicy{}},
	}
	a := &azure{timeout: opts.Timeout}
	var err error
	switch {
	case opts.ConnectionString != "":
		err = a.connect(opts.ConnectionString, common)
	case opts.TableEndpoint != "" && opts.QueueEndpoint != "" && opts.Credential != nil:
		err = a.authorize(opts, common)
	default:
		err = errors.New("neither a connection string nor both endpoints and a credential are given")
	}
	if err != nil {
		return nil, fmt.Errorf("open the storage account: %w: %w", pair.ErrInvalid, err)
	}
	return newStore(a, opts.Now), nil
}

// newClient returns a client that keeps more connections than Go's default,
// for many pairs at once, and follows no redirection, because a write must not
// be sent twice.
func newClient() *http.Client {
	const idle = 32
	c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if t, ok := http.DefaultTransport.(*http.Transport); ok {
		t = t.Clone()
		t.MaxIdleConnsPerHost = idle
		c.Transport = t
	}
	return c
}

// connect makes the clients of an account that is known by its key.
func (a *azure) connect(text string, common azcore.ClientOptions) (err error) {
	malformed := errors.New("malformed connection string")
	if a.tables, err = aztables.NewServiceClientFromConnectionString(text, &aztables.ClientOptions{ClientOptions: common}); err != nil {
		return malformed
	}
	if a.queues, err = azqueue.NewServiceClientFromConnectionString(text, &azqueue.ClientOptions{ClientOptions: common}); err != nil {
		return malformed
	}
	return nil
}

// authorize makes the clients of an account that is opened with an identity.
func (a *azure) authorize(opts AzureOptions, common azcore.ClientOptions) (err error) {
	if a.tables, err = aztables.NewServiceClient(opts.TableEndpoint, opts.Credential, &aztables.ClientOptions{ClientOptions: common}); err != nil {
		return err
	}
	a.queues, err = azqueue.NewServiceClient(opts.QueueEndpoint, opts.Credential, &azqueue.ClientOptions{ClientOptions: common})
	return err
}

// begin prepares the context of one request.
func (a *azure) begin(ctx context.Context, write bool) (context.Context, *call, context.CancelFunc) {
	c := &call{write: write}
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, callKey{}, c), a.timeout)
	if !write {
		ctx = policy.WithRetryOptions(ctx, policy.RetryOptions{MaxRetries: readRetries, RetryDelay: readDelay, MaxRetryDelay: maxReadDelay})
	}
	return ctx, c, cancel
}

func (a *azure) get(ctx context.Context, table, part, key string) (entity, error) {
	ctx, c, cancel := a.begin(ctx, false)
	defer cancel()
	got, err := a.tables.NewClient(table).GetEntity(ctx, part, key, nil)
	if err != nil {
		return entity{}, fmt.Errorf("read %s of table %s: %w", key, table, c.kind(err))
	}
	return readEntity(got.Value)
}

func (a *azure) list(ctx context.Context, table string, q query) ([]entity, cursor, error) {
	ctx, c, cancel := a.begin(ctx, false)
	defer cancel()
	limit, filter := int32(q.limit), q.filter()
	opts := aztables.ListEntitiesOptions{Filter: &filter, Top: &limit}
	if q.after != (cursor{}) {
		opts.NextPartitionKey, opts.NextRowKey = &q.after.partition, &q.after.key
	}
	answer, err := a.tables.NewClient(table).NewListEntitiesPager(&opts).NextPage(ctx)
	if err != nil {
		if err = c.kind(err); errors.Is(err, errNoTable) {
			return nil, cursor{}, nil
		}
		return nil, cursor{}, fmt.Errorf("list rows of table %s: %w", table, err)
	}
	var rows []entity
	for _, b := range answer.Entities {
		e, err := readEntity(b)
		if err != nil {
			return nil, cursor{}, err
		}
		rows = append(rows, e)
	}
	var next cursor
	if answer.NextPartitionKey != nil {
		next.partition = *answer.NextPartitionKey
	}
	if answer.NextRowKey != nil {
		next.key = *answer.NextRowKey
	}
	return rows, next, nil
}

// filter writes the query for the service.
func (q query) filter() string {
	quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
	if q.partition == "" {
		return "RowKey eq " + quote(q.from)
	}
	f := "PartitionKey eq " + quote(q.partition)
	if q.from != "" {
		f += " and RowKey ge " + quote(q.from)
	}
	if q.to != "" {
		f += " and RowKey lt " + quote(q.to)
	}
	if q.dueBy != "" {
		f += " and " + propDue + " le " + quote(q.dueBy)
	}
	return f
}

func (a *azure) apply(ctx context.Context, table, part string, ops []op) ([]string, error) {
	actions, err := actionsOf(ops)
	if err != nil {
		return nil, err
	}
	etags, err := a.submit(ctx, table, actions)
	if errors.Is(err, errNoTable) {
		if err = a.createTable(ctx, table); err == nil {
			etags, err = a.submit(ctx, table, actions)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("write %s of table %s: %w", strings.Join(keysOf(ops), ", "), table, err)
	}
	return etags, nil
}

// submit sends one transaction. Its outcome is what batchPolicy read of the
// answer.
func (a *azure) submit(ctx context.Context, table string, actions []aztables.TransactionAction) ([]string, error) {
	ctx, c, cancel := a.begin(ctx, true)
	defer cancel()
	if _, err := a.tables.NewClient(table).SubmitTransaction(ctx, actions, nil); !errors.Is(err, errAnswered) {
		return nil, c.kind(err)
	}
	for _, part := range c.answer {
		if part.status >= http.StatusBadRequest {
			return nil, c.answered(part.status, part.code, nil)
		}
	}
	if len(c.answer) != len(actions) {
		return nil, fmt.Errorf("%d answers for %d operations: %w", len(c.answer), len(actions), pair.ErrUnknownOutcome)
	}
	etags := make([]string, len(actions))
	for i, part := range c.answer {
		if etags[i] = part.etag; part.etag == "" && actions[i].ActionType != aztables.TransactionTypeDelete {
			return nil, fmt.Errorf("a written row came back without its version: %w", pair.ErrUnknownOutcome)
		}
	}
	return etags, nil
}

func actionsOf(ops []op) ([]aztables.TransactionAction, error) {
	actions := make([]aztables.TransactionAction, len(ops))
	for i, o := range ops {
		etag := azcore.ETag(o.row.etag)
		var action aztables.TransactionAction
		switch o.kind {
		case opInsert:
			action = aztables.TransactionAction{ActionType: aztables.TransactionTypeAdd}
		case opReplace:
			action = aztables.TransactionAction{ActionType: aztables.TransactionTypeUpdateReplace, IfMatch: &etag}
		case opRemove:
			action = aztables.TransactionAction{ActionType: aztables.TransactionTypeDelete, IfMatch: &etag}
			o.row.props = nil
		default:
			return nil, fmt.Errorf("%s %s: %w", o.kind, o.row.key, pair.ErrInvalid)
		}
		var err error
		if action.Entity, err = json.Marshal(o.row); err != nil {
			return nil, fmt.Errorf("%s %s: %w: %w", o.kind, o.row.key, pair.ErrInvalid, err)
		}
		actions[i] = action
	}
	return actions, nil
}

func keysOf(ops []op) []string {
	const shown = 3
	var keys []string
	for _, o := range ops[:min(shown, len(ops))] {
		keys = append(keys, o.row.key)
	}
	if len(ops) > shown {
		keys = append(keys, fmt.Sprintf("and %d more", len(ops)-shown))
	}
	return keys
}

func (a *azure) createTable(ctx context.Context, table string) error {
	ctx, c, cancel := a.begin(ctx, true)
	defer cancel()
	if _, err := a.tables.CreateTable(ctx, table, nil); err != nil {
		if err = c.kind(err); !errors.Is(err, pair.ErrExists) {
			return fmt.Errorf("create it: %w", err)
		}
	}
	return nil
}

// enqueue sends the text in Base64, which host.json asks for and which the
// SDK, unlike the host, does not add by itself (azure.md 6.4).
func (a *azure) enqueue(ctx context.Context, queue, text string, delay time.Duration) error {
	err := a.send(ctx, queue, text, delay)
	if !errors.Is(err, errNoQueue) {
		return err
	}
	if err := a.createQueue(ctx, queue); err != nil {
		return err
	}
	return a.send(ctx, queue, text, delay)
}

func (a *azure) send(ctx context.Context, queue, text string, delay time.Duration) error {
	ctx, c, cancel := a.begin(ctx, true)
	defer cancel()
	seconds := int32(wholeSeconds(delay) / time.Second)
	opts := azqueue.EnqueueMessageOptions{VisibilityTimeout: &seconds}
	encoded := base64.StdEncoding.EncodeToString([]byte(text))
	if _, err := a.queues.NewQueueClient(queue).EnqueueMessage(ctx, encoded, &opts); err != nil {
		return c.kind(err)
	}
	return nil
}

func (a *azure) createQueue(ctx context.Context, queue string) error {
	ctx, c, cancel := a.begin(ctx, true)
	defer cancel()
	if _, err := a.queues.CreateQueue(ctx, queue, nil); err != nil {
		if err = c.kind(err); !errors.Is(err, pair.ErrExists) {
			return fmt.Errorf("create it: %w", err)
		}
	}
	return nil
}

// readEntity reads an entity as the service sends it. What the service adds to
// it is not kept.
func readEntity(b []byte) (entity, error) {
	var props map[string]any
	if err := json.Unmarshal(b, &props); err != nil {
		return entity{}, fmt.Errorf("read a row: %w: %w", pair.ErrUnreadable, err)
	}
	e := entity{}
	e.partition, _ = props["PartitionKey"].(string)
	e.key, _ = props["RowKey"].(string)
	e.etag, _ = props["odata.etag"].(string)
	if e.partition == "" || e.key == "" || e.etag == "" {
		return entity{}, fmt.Errorf("read a row without its keys or version: %w", pair.ErrUnreadable)
	}
	maps.DeleteFunc(props, func(name string, _ any) bool {
		return strings.HasPrefix(name, "odata.") || name == "PartitionKey" || name == "RowKey" ||
			name == "Timestamp" || name == "Timestamp@odata.type"
	})
	e.props = props
	return e, nil
}

// bounded notes that a request was handed to the network, and bounds what is
// read of its answer.
type bounded struct{ inner policy.Transporter }

func (b bounded) Do(req *http.Request) (*http.Response, error) {
	if c, ok := req.Context().Value(callKey{}).(*call); ok {
		c.sent = true
	}
	resp, err := b.inner.Do(req)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	}
	return resp, err
}
