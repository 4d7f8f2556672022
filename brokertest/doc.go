// Package brokertest tests whether an implementation of broker.Broker keeps the
// contract of that interface. Each clause of the contract is a subtest.
//
// An adapter calls Run from a test of its own. Use the race detector:
//
//	func TestBroker(t *testing.T) {
//		brokertest.Run(t, brokertest.Config{
//			Open: func(t *testing.T) broker.Broker {
//				return open(t, newEmptyStore(t))
//			},
//			Peer: func(t *testing.T, b broker.Broker) broker.Broker {
//				return open(t, b.(*mybroker.Broker).Store())
//			},
//		})
//	}
//
//	func open(t *testing.T, s *mybroker.Store) broker.Broker {
//		b, err := mybroker.Open(s)
//		require.NoError(t, err)
//		t.Cleanup(func() { assert.NoError(t, b.Close()) })
//		return b
//	}
//
// Of this module, the package imports only package broker. An adapter and its test
// therefore depend on neither the hub nor GORM. Its other imports are testify and the
// standard library.
package brokertest
