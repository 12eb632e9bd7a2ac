// Package lab builds the simulated world and plays stories in it: two
// LoadMasters, the load balancer's data path, Resource Manager, Event Grid,
// the Functions host, a client that keeps sending requests and so measures the
// outage, and where a story wants them, clients that hold connections.
//
// It imports nothing of the program. Whoever plays a story brings the program
// along as a Launcher and a Queues, or plays without one, which is the load
// balancer alone. It runs in virtual time (testing/synctest) and in real time.
package lab
