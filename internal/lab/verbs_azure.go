package lab

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"tandem/internal/lab/arm"
	"tandem/internal/lab/eventgrid"
	"tandem/internal/lab/loadmaster"
)

// azureVerbs are what goes wrong in Azure, and what people do there. What goes
// wrong with Resource Manager goes wrong for the program; people get through.
var azureVerbs = map[string]verb{
	"manager-throttled": {"Resource Manager answers everything with 429 for a time; late is its Retry-After, else the rest of that time", managerThrottled},
	"manager-down":      {"Resource Manager cuts every connection for a time", managerDown},
	"manager-late":      {"the next writes, all without times, succeed at once and take effect late; late 0s ends it", managerLate},
	"manager-no-effect": {"the next writes succeed, and the load balancer never follows", managerNoEffect},
	"manager-fails":     {"the next writes are accepted and end Failed", managerFails},
	"refuse-health":     {"Resource Manager refuses to tell what the load balancers see of their backends, as where the right to ask is missing", refuseHealth},
	"manager-busy":      {"Resource Manager answers the next PUTs with 409: another operation is in progress", managerBusy},
	"edit-between":      {"right before the next writes with If-Match somebody else edits the load balancer, or the resource of state, such as networkSecurityGroups/nsg-edge", editBetween},
	"allocation-fails":  {"the next starts of VMs end with AllocationFailed", allocationFails},
	"redeploy":          {"a person deploys the load balancers from a template, without admin states and tags", redeploy},
	"set-admin":         {"a person sets the admin state of the unit to state, None, Up or Down, in every pool", on(setAdmin)},
	"new-address":       {"the interface of the unit gets another private address", on(newAddress)},
	"delete-vm":         {"a person deletes the VM", on(deleteVM)},
	"event-storm":       {"so many events in turn say that the VM is unavailable and available, none of them newer than the one before", on(eventStorm)},
	"replay-events":     {"everything that Event Grid has delivered is delivered again, in reverse order, so many times", replayEvents},
	"foreign-events":    {"events come about a deleted pair, another resource group and another subscription", foreignEvents},
	"annotate":          {"Resource Health annotates the VM; state is the name, with or without VirtualMachine in front, or Available where it calls the VM well again", on(annotate)},
}

func managerThrottled(w *World, st Step) {
	w.record.log("story", fmt.Sprintf("Resource Manager answers every request with 429 for %v", st.For))
	w.manager.Inject(arm.Fault{
		Kind: arm.Answer, By: Tandem, Until: time.Now().Add(st.For), RetryAfter: st.Late,
		Status: http.StatusTooManyRequests, Code: "SubscriptionRequestsThrottled",
	})
}

func managerDown(w *World, st Step) {
	w.record.log("story", fmt.Sprintf("Resource Manager cuts every connection for %v", st.For))
	w.manager.Inject(arm.Fault{Kind: arm.Cut, By: Tandem, Until: time.Now().Add(st.For)})
}

func managerLate(w *World, st Step) {
	w.manager.EndFaults(arm.Late)
	if st.Late <= 0 {
		w.record.log("story", "writes take effect as usual again")
		return
	}
	which, count := "every write", -1
	if st.Times > 0 {
		which, count = writes(st.Times), st.Times
	}
	w.record.log("story", fmt.Sprintf("from now on %s succeeds at once and takes effect %v late", which, st.Late))
	w.manager.Inject(arm.Fault{Kind: arm.Late, By: Tandem, Delay: st.Late, Count: count})
}

// writes names the writes that a fault is about.
func writes(times int) string {
	if times <= 1 {
		return "the next write"
	}
	return fmt.Sprintf("each of the next %d writes", times)
}

func managerNoEffect(w *World, st Step) {
	w.record.log("story", writes(st.Times)+" will succeed and never take effect")
	w.manager.Inject(arm.Fault{Kind: arm.NoEffect, By: Tandem, Count: st.Times})
}

func managerFails(w *World, st Step) {
	w.record.log("story", writes(st.Times)+" will be accepted and fail")
	w.manager.Inject(arm.Fault{
		Kind: arm.FailOperation, By: Tandem, PathPrefix: w.plan.resource("Microsoft.Network/loadBalancers", ""), Count: st.Times,
	})
}

func managerBusy(w *World, st Step) {
	w.record.log("story", fmt.Sprintf("Resource Manager answers the next %d writes with 409: another operation is in progress", max(st.Times, 1)))
	w.manager.Inject(arm.Fault{
		Kind: arm.Answer, By: Tandem, Method: http.MethodPut, Count: st.Times, Status: http.StatusConflict, Code: "AnotherOperationInProgress",
		Message: "Another operation on this or dependent resource is in progress.",
	})
}

func refuseHealth(w *World, _ Step) {
	w.record.log("story", "Resource Manager refuses to tell rule health: the program has no right to ask")
	w.manager.Inject(arm.Fault{
		Kind: arm.Answer, By: Tandem, Method: http.MethodPost, PathSuffix: "/health", Count: -1, Status: http.StatusForbidden,
		Message: "The client does not have authorization to perform action 'Microsoft.Network/loadBalancers/loadBalancingRules/health/action'.",
	})
}

func editBetween(w *World, st Step) {
	what, path := "the load balancer", w.plan.resource("Microsoft.Network/loadBalancers", "")
	if st.State != "" {
		what, path = st.State, w.networkResource(st.State)
	}
	w.record.log("story", "somebody else will edit "+what+" right before "+writes(st.Times))
	w.manager.Inject(arm.Fault{Kind: arm.Overtaken, By: Tandem, Rival: Person, PathPrefix: path, Count: st.Times})
}

func allocationFails(w *World, st Step) {
	w.record.log("story", fmt.Sprintf("Azure has no room for the next %d machines that are started", max(st.Times, 1)))
	w.manager.Inject(arm.Fault{
		Kind: arm.FailOperation, Method: http.MethodPost, PathSuffix: "/" + arm.Start.String(), Count: st.Times, Code: "AllocationFailed",
		Message: "Allocation failed. We do not have sufficient capacity for the requested VM size in this region.",
	})
}

// redeploy writes the load balancers as a template does that knows nothing of
// admin states and tags.
func redeploy(w *World, _ Step) {
	w.record.log("story", "a person deploys the load balancers from their template, without admin states and tags")
	for i := range w.plan.LoadBalancers {
		id := w.plan.loadBalancerID(i)
		lb := w.document(id)
		delete(lb, "tags")
		for _, pool := range parts(lb, "backendAddressPools") {
			for _, a := range parts(pool, "loadBalancerBackendAddresses") {
				delete(part(a, "properties"), "adminState")
			}
		}
		w.person(http.MethodPut, id, lb)
	}
}

func setAdmin(w *World, st Step, _ *loadmaster.Unit) {
	if !slices.Contains([]string{"None", "Up", "Down"}, st.State) {
		w.fail(fmt.Sprintf("set-admin: state %q: expected one of None, Up, Down", st.State))
		return
	}
	w.record.log("story", fmt.Sprintf("a person sets %s to %s in the portal", w.vm(st), st.State))
	for i := range w.plan.LoadBalancers {
		for _, pool := range parts(w.document(w.plan.loadBalancerID(i)), "backendAddressPools") {
			if w.setAdminState(st.Unit, pool, st.State) {
				id, _ := pool["id"].(string)
				w.person(http.MethodPut, id, pool)
			}
		}
	}
}

// setAdminState changes the entry of a unit in a pool, if it has one.
func (w *World) setAdminState(role string, pool map[string]any, state string) (found bool) {
	nic, address := strings.ToLower(w.plan.nicID(role)+"/"), w.address(role).String()
	for _, a := range parts(pool, "loadBalancerBackendAddresses") {
		p := part(a, "properties")
		id, _ := part(p, "networkInterfaceIPConfiguration")["id"].(string)
		if strings.HasPrefix(strings.ToLower(id), nic) || p["ipAddress"] == address {
			p["adminState"] = state
			found = true
		}
	}
	return found
}

// newAddress changes the address in Azure: the load balancer probes the new one
// from then on. The unit takes it with the next power on or restart.
func newAddress(w *World, st Step, _ *loadmaster.Unit) {
	to, err := netip.ParseAddr(st.Address)
	if err != nil {
		w.fail("new-address: " + err.Error())
		return
	}
	from := w.address(st.Unit)
	w.record.log("story", fmt.Sprintf("the interface of %s gets the address %s instead of %s", w.vm(st), to, from))
	nic := w.document(w.plan.nicID(st.Unit))
	for _, c := range parts(nic, "ipConfigurations") {
		part(c, "properties")["privateIPAddress"] = to.String()
	}
	w.person(http.MethodPut, w.plan.nicID(st.Unit), nic)
	if power := w.manager.Power(w.plan.vmID(st.Unit)); power == arm.Deallocated || power == arm.Stopped {
		w.path.VMStopped(to, true)
	}
}

// address is what the interface of a unit has, as Azure sees it. The pair file
// may have another one.
func (w *World) address(role string) netip.Addr {
	for _, c := range parts(w.document(w.plan.nicID(role)), "ipConfigurations") {
		text, _ := part(c, "properties")["privateIPAddress"].(string)
		if addr, err := netip.ParseAddr(text); err == nil {
			return addr
		}
	}
	return w.plan.Units[role].Address
}

// settle gives a machine that is off the address that its interface has.
func (w *World) settle(vm string, address netip.Addr) {
	if err := w.net.Move(vm, address); err != nil {
		w.record.log("story", err.Error())
	}
}

func deleteVM(w *World, st Step, _ *loadmaster.Unit) {
	w.record.log("story", "a person deletes the VM of "+w.vm(st)+" in the portal")
	w.person(http.MethodDelete, w.plan.vmID(st.Unit), nil)
}

// stormStep is how much older each pair of events of a storm is than the pair
// before it.
const stormStep = 10 * time.Millisecond

func eventStorm(w *World, st Step, _ *loadmaster.Unit) {
	w.record.log("story", fmt.Sprintf("a storm of %d events says that %s is unavailable and available", st.Times, w.vm(st)))
	now := time.Now()
	states := []eventgrid.Availability{eventgrid.Unavailable, eventgrid.Available}
	for i := range st.Times {
		at := now.Add(-time.Duration(i/2) * stormStep)
		w.grid.Publish(eventgrid.AvailabilityStatusChanged(w.plan.vmID(st.Unit), states[1-i%2], states[i%2], at))
	}
}

func replayEvents(w *World, st Step) {
	n := w.grid.Redeliver(max(st.Times, 1))
	w.record.log("story", fmt.Sprintf("%d deliveries repeat old events, the newest first", n))
}

// foreignEvents publishes events about what is none of the program's business.
func foreignEvents(w *World, st Step) {
	own := w.plan.resource("Microsoft.Compute/virtualMachines", "retired1")
	group := "/resourceGroups/" + w.plan.Azure.ResourceGroup + "/"
	foreign := []string{
		own,
		strings.Replace(own, group, "/resourceGroups/rg-foreign/", 1),
		strings.Replace(own, w.plan.Azure.Subscription, "00000000-0000-0000-0000-0000000000ff", 1),
	}
	times := max(st.Times, 1)
	w.record.log("story", fmt.Sprintf("events come about a deleted pair, another resource group and another subscription, %d of each", times))
	for i := range times {
		at := time.Now().Add(-time.Duration(i) * time.Second)
		for _, vm := range foreign {
			w.foreign(vm, fmt.Sprintf("foreign-%d", i), at)
		}
	}
}

// foreign publishes one event of each kind about a machine and its load
// balancer.
func (w *World) foreign(vm, correlation string, at time.Time) {
	lb := strings.Replace(vm, "Microsoft.Compute/virtualMachines/retired1", "Microsoft.Network/loadBalancers/ilb-retired", 1)
	op := func(id, name string) eventgrid.Operation {
		return eventgrid.Operation{Name: name, ResourceID: id, Status: eventgrid.Succeeded, CorrelationID: correlation}
	}
	w.grid.Publish(eventgrid.AvailabilityStatusChanged(vm, eventgrid.Available, eventgrid.Unavailable, at))
	w.grid.Publish(eventgrid.ResourceAnnotated(vm, annotations["VirtualMachineHostCrashed"], at))
	w.grid.Publish(eventgrid.ResourceAction(op(vm, "Microsoft.Compute/virtualMachines/deallocate/action"), at))
	w.grid.Publish(eventgrid.ResourceDelete(op(vm, "Microsoft.Compute/virtualMachines/delete"), at))
	w.grid.Publish(eventgrid.ResourceWrite(op(lb, "Microsoft.Network/loadBalancers/write"), at))
	w.grid.Publish(eventgrid.ResourceDelete(op(lb, "Microsoft.Network/loadBalancers/delete"), at))
}

func annotate(w *World, st Step, _ *loadmaster.Unit) {
	if st.State == calledWell {
		w.record.log("story", "Resource Health calls "+w.vm(st)+" available")
		w.grid.Publish(eventgrid.AvailabilityStatusChanged(w.plan.vmID(st.Unit), eventgrid.Degraded, eventgrid.Available, time.Now()))
		return
	}
	a, known := annotations[st.State]
	if !known {
		a, known = annotations["VirtualMachine"+st.State]
	}
	if !known {
		w.fail(fmt.Sprintf("annotate: state %q: expected one of %s", st.State, strings.Join(slices.Sorted(maps.Keys(annotations)), ", ")))
		return
	}
	w.record.log("story", fmt.Sprintf("Resource Health annotates %s: %s", w.vm(st), a.Name))
	w.grid.Publish(eventgrid.ResourceAnnotated(w.plan.vmID(st.Unit), a, time.Now()))
}

// calledWell is the state of a step that ends what an annotation announced.
const calledWell = "Available"

// annotations are those that Resource Health knows, by name (azure.md 4.1).
var annotations = allAnnotations()

func allAnnotations() map[string]eventgrid.Annotation {
	all := map[string]eventgrid.Annotation{}
	add := func(context, category string, names ...string) {
		for _, name := range names {
			all[name] = eventgrid.Annotation{Name: name, Summary: context + ": " + name, Context: context, Category: category}
		}
	}
	add("Customer Initiated", "Not Applicable",
		"VirtualMachineRestarted", "VirtualMachineRebootInitiatedByControlPlane", "VirtualMachineDeallocationInitiated",
		"VirtualMachineStopInitiatedByControlPlane", "VirtualMachineStoppedInternally", "VirtualMachineStartInitiatedByControlPlane",
		"VirtualMachineAllocated", "VirtualMachineRedeployInitiatedByControlPlane",
		"VirtualMachineRedeployInitiatedByControlPlaneDueToPlannedMaintenance", "VirtualMachineSizeChanged",
		"VirtualMachineConfigurationUpdated", "VirtualMachineFailedToSecureBoot")
	add("VM Initiated", "Not Applicable", "VirtualMachineCrashed")
	add("Platform Initiated", "Unplanned",
		"VirtualMachineHostCrashed", "VirtualMachineHostRebootedForRepair", "VirtualMachineMigrationInitiatedForRepair",
		"VirtualMachineStorageOffline", "LiveMigrationSucceeded", "LiveMigrationFailure",
		"VirtualMachineMigrationScheduledForDegradedHardware", "VirtualMachinePossiblyDegradedDueToHardwareFailure",
		"VirtualMachineScheduledForServiceHealing", "VirtualMachinePreempted", "VirtualMachineProvisioningTimedOut", "AccelnetUnhealthy")
	add("Platform Initiated", "Planned",
		"VirtualMachineMigrationInitiatedForPlannedMaintenance", "VirtualMachineRebootInitiatedForPlannedMaintenance",
		"VirtualMachinePlannedFreezeStarted", "VirtualMachinePlannedFreezeSucceeded", "VirtualMachinePlannedFreezeFailed")
	return all
}

// byPlatform tells whether the platform does what a step says, and not a
// person.
func byPlatform(w *World, st Step) bool {
	if st.By != "" && st.By != "person" && st.By != "platform" {
		w.fail(fmt.Sprintf("%s: by %q: expected one of person, platform", st.Do, st.By))
	}
	return st.By == "platform"
}

// evict takes a machine away as the platform does with what it needs the room
// of: no request, so no event of Resource Manager.
func (w *World) evict(role string) {
	w.moved(role, arm.Deallocated, arm.Deallocate)
	w.grid.Publish(eventgrid.ResourceAnnotated(w.plan.vmID(role), annotations["VirtualMachinePreempted"], time.Now()))
}

// moved puts a machine into a power state without a request.
func (w *World) moved(role string, power arm.PowerState, action arm.PowerAction) {
	if err := w.manager.SetPower(w.plan.vmID(role), power); err != nil {
		w.record.log("story", "which is not possible: "+err.Error())
		return
	}
	w.power(w.plan.vmID(role), action)
}

// Tags are the tags of a load balancer of the story's pair, as a read shows
// them.
func (w *World) Tags(lb int) map[string]string {
	out := map[string]string{}
	for name, value := range part(w.document(w.plan.loadBalancerID(lb)), "tags") {
		out[name], _ = value.(string)
	}
	return out
}

// Reads is how many reads the program has made of Resource Manager, polls of
// long operations and refused ones too.
func (w *World) Reads() int { return w.manager.Requests(Tandem).Reads }

// Actions is how many starts, restarts and other actions on VMs Resource
// Manager has accepted from the program.
func (w *World) Actions() int { return w.manager.Requests(Tandem).Actions }

// document is a resource as a read shows it; an empty one where there is none.
func (w *World) document(id string) map[string]any {
	d := map[string]any{}
	b, err := w.manager.Document(id)
	if err == nil {
		err = json.Unmarshal(b, &d)
	}
	if err != nil {
		w.record.log("story", err.Error())
	}
	return d
}

// part is a member of a document that is an object, or an empty one that is no
// part of it.
func part(d map[string]any, key string) map[string]any {
	if p, isObject := d[key].(map[string]any); isObject {
		return p
	}
	return map[string]any{}
}

// parts are the objects of a list among the properties of a document.
func parts(d map[string]any, key string) []map[string]any {
	list, _ := part(d, "properties")[key].([]any)
	var out []map[string]any
	for _, e := range list {
		if o, isObject := e.(map[string]any); isObject {
			out = append(out, o)
		}
	}
	return out
}
