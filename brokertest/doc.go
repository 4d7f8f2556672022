// Package brokertest shows whether a broker keeps the contract of
// rohrpost.Broker. Each clause is a subtest of its own. The test of an adapter
// is this, best run with -race:
//
//	func TestContract(t *testing.T) {
//		brokertest.Run(t, brokertest.Config{
//			Open: func(t *testing.T) brokertest.Broker {
//				return mybroker.New(emptyStore(t)) // closed by t.Cleanup
//			},
//		})
//	}
//
// Like an adapter, it does not import the package of the contract.
package brokertest
