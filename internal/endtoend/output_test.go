package endtoend

import (
	"bytes"
	"io"
	"sync"
)

// output keeps what is written and passes it on.
type output struct {
	next io.Writer

	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	o.buf.Write(p)
	o.mu.Unlock()
	return o.next.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}
