package lab

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"tandem/internal/lab/arm"
)

// editVerbs change the documents of the network provider.
var editVerbs = map[string]verb{
	"edit":   {"a person, or by pipeline infrastructure code, writes the resource of state, such as networkSecurityGroups/nsg-edge, with the changes of set by path; null removes", edit},
	"delete": {"a person, or by pipeline infrastructure code, deletes the resource of state", deleteResource},
}

// edit writes a whole resource as it is, but for the changes that the step
// names. A path such as properties.probes[check].properties.port leads by names
// of fields, and to the element of a list by its name, or by its number where
// elements have no names; what is missing on the way is made.
func edit(w *World, st Step) {
	who, ok := w.editor(st)
	if !ok {
		return
	}
	id := w.networkResource(st.State)
	paths := slices.Sorted(maps.Keys(st.Set))
	w.record.log("story", fmt.Sprintf("%s changes %s of %s", editors[who], strings.Join(paths, ", "), st.State))
	d := w.document(id)
	for _, path := range paths {
		if err := setPath(d, strings.Split(path, "."), st.Set[path]); err != nil {
			w.fail(fmt.Sprintf("edit: %s: %v", path, err))
			return
		}
	}
	w.as(who, http.MethodPut, id, d)
}

func deleteResource(w *World, st Step) {
	if who, ok := w.editor(st); ok {
		w.record.log("story", editors[who]+" deletes "+st.State)
		w.as(who, http.MethodDelete, w.networkResource(st.State), nil)
	}
}

var editors = map[arm.Principal]string{Person: "a person", Pipeline: "infrastructure code"}

// editor is who makes the change of a step.
func (w *World) editor(st Step) (arm.Principal, bool) {
	switch {
	case strings.Count(st.State, "/") != 1:
		w.fail(fmt.Sprintf("%s: state %q: expected a kind and a name, such as loadBalancers/ilb-edge", st.Do, st.State))
	case st.By == "" || st.By == "person":
		return Person, true
	case st.By == "pipeline":
		return Pipeline, true
	default:
		w.fail(fmt.Sprintf("%s: by %q: expected one of person, pipeline", st.Do, st.By))
	}
	return arm.Principal{}, false
}

// networkResource is the id of a resource by its kind and name.
func (w *World) networkResource(kindAndName string) string {
	kind, name, _ := strings.Cut(kindAndName, "/")
	return w.plan.resource("Microsoft.Network/"+kind, name)
}

// Document is a resource of Resource Manager, or a part of one, as a person who
// asks for it gets it; nil where there is none.
func (w *World) Document(id string) ([]byte, error) {
	status, text, err := w.ask(Person, http.MethodGet, id, nil)
	switch {
	case err != nil:
		return nil, err
	case status == http.StatusNotFound:
		return nil, nil
	case status != http.StatusOK:
		return nil, fmt.Errorf("read %s: Resource Manager answers %d: %s", id, status, text)
	}
	return []byte(text), nil
}

// setPath puts a value at a path below an object.
func setPath(d map[string]any, path []string, value any) error {
	name, key, isElement := strings.Cut(strings.TrimSuffix(path[0], "]"), "[")
	if isElement {
		return setElement(d, name, key, path[1:], value)
	}
	switch {
	case len(path) == 1 && value == nil:
		delete(d, name)
		return nil
	case len(path) == 1:
		d[name] = value
		return nil
	}
	child, isObject := d[name].(map[string]any)
	if !isObject {
		if d[name] != nil {
			return fmt.Errorf("%s is no object", name)
		}
		child = map[string]any{}
		d[name] = child
	}
	return setPath(child, path[1:], value)
}

// setElement puts a value at a path below the element of a list, in its place,
// or where the path ends there and the value is nil, removes it.
func setElement(d map[string]any, name, key string, rest []string, value any) error {
	list, _ := d[name].([]any)
	at := slices.IndexFunc(list, func(e any) bool {
		o, _ := e.(map[string]any)
		called, _ := o["name"].(string)
		return strings.EqualFold(called, key)
	})
	if n, err := strconv.Atoi(key); at < 0 && err == nil && n >= 0 && n < len(list) {
		at = n
	}
	switch {
	case len(rest) == 0 && value == nil:
		if at >= 0 {
			d[name] = slices.Delete(list, at, at+1)
		}
		return nil
	case at < 0:
		at = len(list)
		list = append(list, map[string]any{"name": key})
		d[name] = list
	}
	if len(rest) == 0 {
		given, isObject := value.(map[string]any)
		if !isObject {
			list[at] = value
			return nil
		}
		element := map[string]any{"name": key}
		maps.Copy(element, given)
		list[at] = element
		return nil
	}
	element, isObject := list[at].(map[string]any)
	if !isObject {
		return fmt.Errorf("%s[%s] is no object", name, key)
	}
	return setPath(element, rest, value)
}
