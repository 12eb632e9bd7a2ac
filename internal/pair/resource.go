package pair

import "strings"

// ResourceID is an Azure resource id in lower case: Azure spells the same id
// in different letter cases (azure.md 4.3), so ids are only ever compared in
// this form.
type ResourceID string

// NewResourceID puts an id into the form in which ids are compared.
func NewResourceID(id string) ResourceID {
	return ResourceID(strings.ToLower(strings.TrimRight(id, "/")))
}

// Name returns the last part of the id.
func (id ResourceID) Name() string {
	return string(id[strings.LastIndexByte(string(id), '/')+1:])
}
