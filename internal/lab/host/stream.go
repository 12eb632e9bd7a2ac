package host

import (
	"encoding/binary"
	"encoding/hex"
	"hash/fnv"
	"math/rand/v2"
	"sync"
)

// stream is one actor's own sequence of random values, so that what another
// actor draws never changes it.
type stream struct {
	mu     sync.Mutex // guards random
	random *rand.Rand
}

func newStream(seed uint64, actor string) *stream {
	sum := fnv.New64a()
	sum.Write([]byte(actor)) // a hash never fails
	return &stream{random: rand.New(rand.NewPCG(seed, sum.Sum64()))}
}

// guid draws a version 4 GUID.
func (s *stream) guid() string {
	b := s.bytes()
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	text := hex.EncodeToString(b[:])
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
}

// traceParent draws a W3C trace context header that isn't sampled.
func (s *stream) traceParent() string {
	trace, span := s.bytes(), s.bytes()
	return "00-" + hex.EncodeToString(trace[:]) + "-" + hex.EncodeToString(span[:8]) + "-00"
}

func (s *stream) bytes() [16]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], s.random.Uint64())
	binary.LittleEndian.PutUint64(b[8:], s.random.Uint64())
	return b
}

// between draws a number from low up to, not including, high.
func (s *stream) between(low, high float64) float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return low + s.random.Float64()*(high-low)
}
