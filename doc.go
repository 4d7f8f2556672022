// Package rohrpost tells web pages what is in the database now.
package rohrpost
