package rohrpost
