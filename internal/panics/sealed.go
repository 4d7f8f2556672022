package panics

import (
	"errors"
	"reflect"
)

// maxChain is the number of errors that Seal takes from a chain: an error may wrap itself.
const maxChain = 32

// sealed stands for an error of the user. Its text was read once, under recover. The
// methods Is and As of the errors in the chain are called under recover too.
type sealed struct {
	text  string
	chain []error
}

// Seal returns an error with the text of err, in which errors.Is and errors.As find what
// they find in err. No method of err that panics later ends the program: its methods are
// the user's code, and those of a nil pointer often panic. Seal returns an *Error if Error
// panics. It returns nil for nil, and an error of errors.New as it is.
func Seal(err error) error {
	if err == nil || reflect.TypeOf(err) == plain {
		return err
	}
	switch err.(type) {
	case *sealed, *Error:
		return err
	}
	s := &sealed{}
	if failed := s.read(err); failed != nil {
		return failed
	}
	return s
}

var plain = reflect.TypeOf(errors.New(""))

func (s *sealed) read(err error) (failed error) {
	defer Recover(&failed)
	s.text = err.Error()
	s.add(err)
	return nil
}

// add appends the errors of a tree, the outer ones first.
func (s *sealed) add(err error) {
	if err == nil || len(s.chain) == maxChain {
		return
	}
	s.chain = append(s.chain, err)
	switch wrapped := err.(type) {
	case *sealed:
		s.chain = append(s.chain[:len(s.chain)-1], wrapped.chain...)
	case interface{ Unwrap() error }:
		s.add(Guard(wrapped.Unwrap))
	case interface{ Unwrap() []error }:
		var all []error
		_ = Guard(func() error { all = wrapped.Unwrap(); return nil })
		for _, err := range all {
			s.add(err)
		}
	}
}

// Error implements error.
func (s *sealed) Error() string { return s.text }

// Is is called by errors.Is.
func (s *sealed) Is(target error) (is bool) {
	for _, err := range s.chain {
		if try(func() bool { return reflect.TypeOf(target).Comparable() && err == target }) {
			return true
		}
		if e, ok := err.(interface{ Is(error) bool }); ok && try(func() bool { return e.Is(target) }) {
			return true
		}
	}
	return false
}

// As is called by errors.As.
func (s *sealed) As(target any) (as bool) {
	into := reflect.ValueOf(target).Elem()
	for _, err := range s.chain {
		if v := reflect.ValueOf(err); v.Type().AssignableTo(into.Type()) {
			into.Set(v)
			return true
		}
		if e, ok := err.(interface{ As(any) bool }); ok && try(func() bool { return e.As(target) }) {
			return true
		}
	}
	return false
}

// try calls f, and takes a panic for false.
func try(f func() bool) (ok bool) {
	return Guard(func() error { ok = f(); return nil }) == nil && ok
}
