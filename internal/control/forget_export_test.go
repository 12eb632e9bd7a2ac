package control

// Forget has the process remember nothing of a pair, as a new one does.
func (c *Controller) Forget(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.known, name)
}
