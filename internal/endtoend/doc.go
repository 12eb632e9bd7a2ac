// Package endtoend holds the test that drives the real binary: the staged
// function app under the host's stand-in, with Azurite as its storage, and the
// lab on real sockets as everything else that it talks to.
//
// It asks only what no part can answer alone: that a handler which is killed in
// the middle of a write is carried on by the next one, to the right end. What
// each part does is tested beside it, and stories are played in virtual time by
// internal/story.
package endtoend
