package endtoend

import (
	"testing"
	"time"

	"tandem/internal/lab"
	"tandem/internal/pair"
)

const pairName = "edge-weu"

func TestPrototype(t *testing.T) {
	killed := make(chan time.Time, 10)
	n := 0
	d := deploy(t, lab.Scenario{Name: "x", For: 5 * time.Minute, Boot: 3 * time.Second, Pair: map[string]any{
		"failover.suspectAfter": 1, "failover.confirmAfter": 2, "failover.recoverAfter": 2,
	}}, map[string]string{"TANDEM_PASS_BUDGET": "8s", "TANDEM_LEASE": "9s"}, func(d *deployment) {
		n++
		if n > 1 {
			return
		}
		hs := d.launcher.started()
		h := hs[len(hs)-1]
		h.Kill()
		t.Log("killed", h.Wait())
		killed <- time.Now()
	})
	defer func() {
		d.stop()
		t.Logf("%s", d.tell)
		for i, h := range d.launcher.started() {
			t.Logf("handler %d stdout:\n%s\nstderr:\n%s", i, h.stdout.String(), h.stderr.String())
		}
	}()
	file := d.file("edge-weu.yaml", d.world.PairFile())
	d.until("ready", 30*time.Second, func() bool { code, _, _ := d.run("status"); return code == 0 })
	t.Log(d.tandem(0, "validate", "-f", file))
	t.Log(d.tandem(0, "apply", "-f", file, "--dry-run"))
	t.Log(d.tandem(0, "apply", "-f", file))
	t.Log(d.tandem(0, "apply", "-f", file))
	d.until("healthy", 60*time.Second, func() bool { return d.status().Situation == pair.Healthy })
	t.Log(d.tandem(0, "status"))
	d.world.Do(lab.Step{Do: "cut"})
	d.until("kill", 60*time.Second, func() bool { return len(killed) > 0 })
	snap, err := d.store.Load(t.Context(), pairName)
	t.Logf("%+v %v", snap, err)
	t.Log(d.tandem(3, "status"))
	d.until("fence done", 60*time.Second, func() bool { s := d.status(); return len(s.Open) == 0 && len(s.Holds) == 1 })
	t.Log(d.tandem(3, "status"), d.world.Down(), d.world.Serving())
	d.world.Do(lab.Step{Do: "heal"})
	d.until("released", 60*time.Second, func() bool { s := d.status(); return len(s.Open) == 0 && len(s.Holds) == 0 })
	d.until("healthy", 60*time.Second, func() bool { return d.status().Situation == pair.Healthy })
	d.world.Do(lab.Step{Do: "crash", Unit: "first"})
	d.until("degraded", 60*time.Second, func() bool { return d.status().Situation == pair.Degraded })
	t.Log(d.tandem(3, "status"), d.world.Down(), d.world.Serving())
	d.world.Do(lab.Step{Do: "boot", Unit: "first"})
	d.until("healthy", 60*time.Second, func() bool { return d.status().Situation == pair.Healthy })
	t.Log(d.tandem(0, "status"), d.world.Down(), d.world.Serving())
	t.Log(d.tandem(0, "history", pairName, "--limit", "100"))
	t.Log(d.tandem(0, "explain", pairName))
}
