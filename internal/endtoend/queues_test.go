package endtoend

import (
	"context"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azqueue"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azqueue/queueerror"

	"tandem/internal/lab/host"
)

// queues gives the host the queues of a storage account, texts as the service
// holds them.
type queues struct{ account *azqueue.ServiceClient }

func openQueues(connection string, client *http.Client) (queues, error) {
	account, err := azqueue.NewServiceClientFromConnectionString(connection, &azqueue.ClientOptions{
		ClientOptions: azcore.ClientOptions{Transport: client, Retry: policy.RetryOptions{MaxRetries: -1}},
	})
	return queues{account}, err
}

func (q queues) Dequeue(ctx context.Context, queue string, limit int, visibility time.Duration) ([]host.Message, error) {
	most, hidden := int32(limit), seconds(visibility)
	got, err := q.account.NewQueueClient(queue).DequeueMessages(ctx, &azqueue.DequeueMessagesOptions{NumberOfMessages: &most, VisibilityTimeout: &hidden})
	if queueerror.HasCode(err, queueerror.QueueNotFound) {
		return nil, nil
	}
	out := make([]host.Message, len(got.Messages))
	for i, m := range got.Messages {
		out[i] = host.Message{
			ID: *m.MessageID, PopReceipt: *m.PopReceipt, Text: *m.MessageText, DequeueCount: int(*m.DequeueCount),
			InsertionTime: *m.InsertionTime, ExpirationTime: *m.ExpirationTime, NextVisibleTime: *m.TimeNextVisible,
		}
	}
	return out, err
}

func (q queues) Update(ctx context.Context, queue string, m host.Message, visibility time.Duration) (host.Message, error) {
	hidden := seconds(visibility)
	got, err := q.account.NewQueueClient(queue).UpdateMessage(ctx, m.ID, m.PopReceipt, m.Text, &azqueue.UpdateMessageOptions{VisibilityTimeout: &hidden})
	if err == nil {
		m.PopReceipt, m.NextVisibleTime = *got.PopReceipt, *got.TimeNextVisible
	}
	return m, err
}

func (q queues) Delete(ctx context.Context, queue string, m host.Message) error {
	_, err := q.account.NewQueueClient(queue).DeleteMessage(ctx, m.ID, m.PopReceipt, nil)
	return err
}

func (q queues) Enqueue(ctx context.Context, queue, text string) error {
	c := q.account.NewQueueClient(queue)
	_, err := c.EnqueueMessage(ctx, text, nil)
	if queueerror.HasCode(err, queueerror.QueueNotFound) {
		if _, err = c.Create(ctx, nil); err == nil {
			_, err = c.EnqueueMessage(ctx, text, nil)
		}
	}
	return err
}

// names lists the queues of the account that begin with the prefix.
func (q queues) names(ctx context.Context, prefix string) ([]string, error) {
	var out []string
	pages := q.account.NewListQueuesPager(&azqueue.ListQueuesOptions{Prefix: &prefix})
	for pages.More() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, item := range page.Queues {
			out = append(out, *item.Name)
		}
	}
	return out, nil
}

func seconds(d time.Duration) int32 { return int32(d / time.Second) }
