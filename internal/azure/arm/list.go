package arm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"tandem/internal/pair"
)

const (
	// listMost bounds a list: what a person has in one resource group is far
	// less, and a platform that never ends shall not fill our memory.
	listMost = 10_000
	// listBytes bounds all pages of a list together.
	listBytes = 64 << 20
	// pagesMost bounds the pages, which may be empty.
	pagesMost = 200
)

// List returns all resources of a kind in a resource group, as Read returns
// each, in the order of the platform. The kind is spelled as in ids, for example
// Microsoft.Network/loadBalancers; those of Read can be listed, except subnets,
// which stand in their virtual networks.
//
// Errors are those of Read: ErrNotFound means that there is no such resource
// group, ErrInvalid that the kind is none of these. ErrTooLarge means more than
// 10,000 resources or 64 MiB.
func (c *Client) List(ctx context.Context, subscription, resourceGroup, kind string) ([]json.RawMessage, error) {
	k, known := kindOfResource(kind)
	if !known || k.name == subnetKind || strings.Trim(subscription, ".") == "" || strings.Trim(resourceGroup, ".") == "" {
		return nil, fmt.Errorf("list resources %q of resource group %q: %w: expected a kind of a pair's resources, a subscription and a group",
			oneLine(kind, 80), oneLine(resourceGroup, 80), pair.ErrInvalid)
	}
	what := fmt.Sprintf("list every %s of resource group %s", k.noun, oneLine(resourceGroup, 80))
	next := fmt.Sprintf("%s/subscriptions/%s/resourceGroups/%s/providers/%s?api-version=%s", strings.TrimRight(c.bare.Endpoint(), "/"),
		url.PathEscape(subscription), url.PathEscape(resourceGroup), k.name, k.version)
	all, size := []json.RawMessage{}, 0
	for range pagesMost {
		page, err := c.page(ctx, what, next)
		if err != nil {
			return nil, err
		}
		for _, item := range page.Value {
			size += len(item)
		}
		all = append(all, page.Value...)
		switch {
		case len(all) > listMost || size > listBytes:
			return nil, fmt.Errorf("%s: %w: more than %d resources or %d bytes", what, pair.ErrTooLarge, listMost, listBytes)
		case page.NextLink == "":
			return all, nil
		}
		next = page.NextLink
	}
	return nil, fmt.Errorf("%s: %w: more than %d pages", what, pair.ErrTooLarge, pagesMost)
}

// page is one answer to a list.
type page struct {
	Value    []json.RawMessage `json:"value"`
	NextLink string            `json:"nextLink"`
}

// page reads one page of a list and checks it.
func (c *Client) page(ctx context.Context, what, address string) (page, error) {
	k := c.reading("%s", what)
	raw, _, err := c.read(ctx, k, address)
	if err != nil {
		return page{}, err
	}
	var p page
	if err := json.Unmarshal(raw, &p); err != nil {
		return page{}, k.failed(err)
	}
	for _, item := range p.Value {
		if len(item) == 0 || item[0] != '{' {
			return page{}, k.failed(errors.New("a resource that is no object"))
		}
	}
	// A link comes from an answer. Our token goes to the platform only, and never
	// in clear; homeOnly sees to the host.
	if u, err := url.Parse(p.NextLink); err != nil || p.NextLink != "" && u.Scheme != "https" {
		return page{}, k.failed(errors.New("the link to the next page is none"))
	}
	return p, nil
}
