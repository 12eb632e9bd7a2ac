package arm

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// PowerState is the power state of a machine, in the spelling of the API
// (azure.md 5). Zero means that the service does not know.
type PowerState string

// The power states.
const (
	PowerUnknown PowerState = ""
	Starting     PowerState = "starting"
	Running      PowerState = "running"
	Stopping     PowerState = "stopping"
	Stopped      PowerState = "stopped"
	Deallocating PowerState = "deallocating"
	Deallocated  PowerState = "deallocated"
)

// String returns the spelling of the API.
func (p PowerState) String() string {
	if p == PowerUnknown {
		return "unknown"
	}
	return string(p)
}

// PowerAction is what can be done to a machine, in the spelling of the API.
type PowerAction string

// The actions.
const (
	Start      PowerAction = "start"
	Restart    PowerAction = "restart"
	PowerOff   PowerAction = "powerOff"
	Deallocate PowerAction = "deallocate"
)

// String returns the spelling of the API.
func (a PowerAction) String() string { return string(a) }

// steps are the power states during and after an action.
func (a PowerAction) steps() (during, after PowerState) {
	switch a {
	case Start:
		return Starting, Running
	case PowerOff:
		return Stopping, Stopped
	case Deallocate:
		return Deallocating, Deallocated
	default: // Restart, of which the power state shows nothing
		return Running, Running
	}
}

// machine is what a virtual machine has beside its document.
type machine struct {
	power   PowerState
	changed time.Time
}

// SetPower notes that the machine came into a power state by itself, without
// a request: a shutdown inside, a host that died. No event tells of it. It
// fails for a machine that does not exist.
func (m *Manager) SetPower(vmID string, power PowerState) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.resources[strings.ToLower(vmID)]
	if r == nil || r.machine == nil {
		return fmt.Errorf("set power of %s: there is no such machine", vmID)
	}
	r.machine.power, r.machine.changed = power, time.Now()
	return nil
}

// Power returns the power state of a machine.
func (m *Manager) Power(vmID string) PowerState {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.resources[strings.ToLower(vmID)]; r != nil && r.machine != nil {
		return r.machine.power
	}
	return PowerUnknown
}

// routeMachine answers a request about a virtual machine. m.mu is held.
func (m *Manager) routeMachine(c *call, r *resource) (answer, error) {
	t := c.target
	switch {
	case t.child != "" || t.childName != "":
		return answer{}, notAllowed(c)
	case t.verb == "" && c.method == http.MethodGet:
		return ok(r.machine.document(r, c.url.Query())), nil
	case t.verb == "" && c.method == http.MethodDelete:
		return m.removeMachine(c, r)
	case strings.EqualFold(t.verb, "instanceView") && c.method == http.MethodGet:
		return ok(r.machine.instanceView(r)), nil
	case c.method == http.MethodPost:
		for _, a := range []PowerAction{Start, Restart, PowerOff, Deallocate} {
			if strings.EqualFold(t.verb, string(a)) {
				return m.act(c, r, a)
			}
		}
	}
	return answer{}, notAllowed(c)
}

// act starts a VM action. One that changes nothing still is an operation. A
// later action preempts one that runs (azure.md 5). The machine is moved at
// the begin, but switched on at the end. m.mu is held.
func (m *Manager) act(c *call, r *resource, a PowerAction) (answer, error) {
	vm := r.machine
	during, after := a.steps()
	if a == Restart && vm.power != Running {
		return answer{}, &failure{
			status: http.StatusConflict, code: "OperationNotAllowed",
			message: "Operation 'restart' is not allowed on VM '" + r.name() + "' since the VM is not running. Please start the VM.",
		}
	}
	m.count(c, Requests{Actions: 1})
	op := m.newOperation(c, r, string(a))
	op.event = m.newEvent(c, r.id, "Microsoft.Compute/virtualMachines/"+string(a)+"/action", false)
	if old := r.running; old != nil {
		m.finish(old, failed, &failure{code: "OperationPreempted", message: "Operation execution has been preempted by a more recent operation."})
	}
	r.running = op
	m.logf("%s asks for %s of %s", c.principal, a, r.name())
	idle := a != Restart && vm.power == after || a == PowerOff && vm.power == Deallocated
	switch {
	case c.fault.Kind == FailOperation:
		f := c.fault.failure("AllocationFailed")
		f.details = nil
		m.after(m.opts.VMActionDelay, func() { m.finish(op, failed, f) })
	case idle:
		m.after(m.opts.AsyncDelay, func() { m.finish(op, succeeded, nil) })
	default:
		m.move(op, r, a, during, after)
	}
	h := m.locationHeader(c, op)
	h.Set("Azure-Asyncoperation", op.address(c, "operations"))
	return answer{status: http.StatusAccepted, header: h}, nil
}

// removeMachine deletes a machine, which is gone at once. Its interfaces stay,
// with their addresses and in their pools. m.mu is held.
func (m *Manager) removeMachine(c *call, r *resource) (answer, error) {
	a, err := m.remove(c, r)
	if err != nil {
		return answer{}, err
	}
	for _, nic := range m.order {
		if nic.kind.is("networkInterfaces") && strings.EqualFold(reference(properties(nic.doc), "virtualMachine"), r.id) {
			nic.doc = clone(nic.doc)
			delete(properties(nic.doc), "virtualMachine")
		}
	}
	m.later(func() { m.cfg.OnPower(r.id, Deallocate) })
	return a, nil
}

// move takes a machine through an action. m.mu is held.
func (m *Manager) move(op *operation, r *resource, a PowerAction, during, after PowerState) {
	set := func(p PowerState) { r.machine.power, r.machine.changed = p, time.Now() }
	tell := func() { m.later(func() { m.cfg.OnPower(r.id, a) }) }
	set(during)
	if a != Start {
		tell()
	}
	m.after(m.opts.VMActionDelay, func() {
		if op.status != inProgress {
			return
		}
		if r.machine.power == during {
			set(after)
			if a == Start {
				tell()
			}
		}
		m.finish(op, succeeded, nil)
	})
}

// document returns the machine as a query wants it: with the instance view,
// or, for statusOnly, hardly anything else.
func (vm *machine) document(r *resource, q url.Values) document {
	statusOnly := strings.EqualFold(q.Get("statusOnly"), "true")
	if !statusOnly && !strings.EqualFold(q.Get("$expand"), "instanceView") {
		return r.doc
	}
	d := clone(r.doc)
	p := ensure(d, "properties")
	if statusOnly {
		p = document{"provisioningState": p["provisioningState"], "vmId": p["vmId"]}
		d = document{"id": d["id"], "name": d["name"], "type": d["type"], "location": d["location"], "properties": p}
	}
	p["instanceView"] = vm.instanceView(r)
	return d
}

// instanceView tells the provisioning state and the power state. The agent
// reports only while the machine runs.
func (vm *machine) instanceView(r *resource) document {
	at := vm.changed.UTC().Format("2006-01-02T15:04:05-07:00")
	provisioning := document{"code": "ProvisioningState/succeeded", "level": "Info", "displayStatus": "Provisioning succeeded", "time": at}
	if r.running != nil {
		provisioning = document{"code": "ProvisioningState/updating", "level": "Info", "displayStatus": "Updating"}
	}
	view := document{"statuses": []any{
		provisioning,
		document{"code": "PowerState/" + vm.power.String(), "level": "Info", "displayStatus": "VM " + vm.power.String()},
	}}
	if vm.power == Running {
		view["vmAgent"] = document{"vmAgentVersion": "2.9.1.1", "statuses": []any{
			document{"code": "ProvisioningState/succeeded", "level": "Info", "displayStatus": "Ready", "time": at},
		}}
	}
	return view
}
